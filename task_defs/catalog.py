"""Find and read the YAML files of tasks and groups, as lm-eval does and without lm-eval."""

import difflib
import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from task_defs.files import Told, Unbounded, Unreadable
from task_defs.groups import members
from task_defs.guard import belongs_to_user, users_code
from task_defs.schema import wrong_value
from task_defs.yaml_files import Function, read_yaml

Config = dict[str, Any]
CHAT, CHAT_CHOICE = "Q: {{input}}", "{{input}}"
"""What a user writes in a conversation: the question alone, without the cue for an answer."""

NEUTRAL = "Paraphrase the sentence.\n\nSentence: {{input}}\nParaphrase:"
"""The frame of rewriting tasks that names no style."""

PAIRS_CLASS = "task_defs.task.PairsTask"
BEHAVIOUR_CLASS = "task_defs.task.BehaviourTask"
BASE = Path(__file__).resolve().parent / "precision" / "_precision_task.yaml"
CHOICES = Path(__file__).resolve().parent / "choices" / "_choice_task.yaml"
BEHAVIOUR = Path(__file__).resolve().parent / "behavior_shift" / "_behavior_shift_task.yaml"


class UnknownTask(ValueError):
    """No YAML file defines the task that was asked for."""


class BadTask(Told):
    """A YAML file, or a function that it names, cannot be read."""


class UnboundedTask(BadTask):
    """A YAML file that would break whoever parses it, so that it cannot be passed over."""


def root() -> Path:
    """Return the folder of the built-in tasks, for lm-eval's `--include_path`."""
    return Path(__file__).resolve().parent


@functools.lru_cache(maxsize=64)
def _module(path: Path, _changed: int) -> Any:
    name = "task_defs_file_" + "_".join(path.with_suffix("").parts[1:])
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadTask(f"{path}: cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def function(spec: str, folder: Path) -> Callable[..., Any]:
    """Resolve `utils.load` of a `!function` tag: a file beside the YAML first, then a module.

    Raises:
        BadTask: If there is none, or its file cannot be run; the message names file and line.
    """
    place, _, name = spec.rpartition(".")
    path = folder / f"{place.replace('.', '/')}.py"
    shown = f"!function {spec:.80}"
    with users_code(shown, BadTask):
        if path.exists():
            belongs_to_user(path.parent)
            module = _module(path.resolve(), path.stat().st_mtime_ns)
        else:
            try:
                module = importlib.import_module(place)
            except (ModuleNotFoundError, ValueError) as error:
                raise BadTask(
                    f"{shown} is not found beside {folder.name}: {error!s:.200}"
                ) from error
        found = getattr(module, name, None)
    if not callable(found):
        what = "found" if found is None else f"a function but {type(found).__name__}"
        raise BadTask(f"{shown} is not {what}, beside {folder.name}")
    return found  # type: ignore[no-any-return]


def _resolved(value: Any, folder: Path) -> Any:
    """Put functions where their names stand."""
    if isinstance(value, Function):
        return function(value, folder)
    if isinstance(value, dict):
        return {key: _resolved(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, folder) for item in value]
    return value


def read(
    path: Path,
    functions: bool = False,
    changes: Mapping[str, Any] | None = None,
    _seen: list[Path] | None = None,
) -> Config:
    """Read one YAML file with its includes, each once as lm-eval does; the file's own keys win.

    Args:
        path: The YAML file.
        functions: Resolve `!function` tags to functions; their names stand otherwise.
        changes: Keys with what stands in place of the file's values.

    Raises:
        BadTask: If a file cannot be read or holds a value of the wrong kind.
        UnboundedTask: If a file is one that lm-eval must not open either.
    """
    path, seen = path.resolve(), [] if _seen is None else _seen
    if path in seen:
        what = "itself" if path == seen[0] else f"{path} twice or in a circle"
        raise BadTask(f"{seen[0]}: includes {what}, which lm-eval refuses; leave one include out")
    seen.append(path)
    try:
        own = read_yaml(path)
    except Unbounded as error:
        raise UnboundedTask(f"{path}: {error}; move it out of the folder") from error
    except Unreadable as error:
        raise BadTask(f"{path}: cannot be read: {error}") from error
    if not isinstance(own, dict):
        raise BadTask(f"{path}: expected keys with values, found {type(own).__name__}")
    if reason := wrong_value(own):
        raise BadTask(f"{path}: {reason}")
    included = own.pop("include", [])
    merged: Config = {}
    for name in included if isinstance(included, list) else [included]:
        base = read(path.parent / name, functions, _seen=seen)
        base.pop("task_list", None)
        merged.update(base)
    merged.update(_resolved(own, path.parent) if functions else own)
    if changes:
        merged |= changes
        if reason := wrong_value(merged):
            raise BadTask(f"{path}: as a group changes it: {reason}")
    named = merged.get("class")
    if named == PAIRS_CLASS or getattr(named, "__name__", "") == "PairsTask":
        merged = with_pairs(merged, functions)
    if named == BEHAVIOUR_CLASS or getattr(named, "__name__", "") == "BehaviourTask":
        merged = with_behaviour(merged, functions)
    return merged


def with_pairs(given: Config, functions: bool) -> Config:
    """Fill a task on a user's file with the settings of its kind; given keys win.

    Two fields are worded and scored as the precision suite is, three as a choice of answers.
    """
    chosen = str((given.get("dataset_kwargs") or {}).get("fields") or "").count(",") == 2
    base = read(CHOICES if chosen else BASE, functions)
    load = "task_defs.pairs.load"
    base["custom_dataset"] = function(load, root()) if functions else load
    suite, headline = ("choices", "matching") if chosen else ("pairs", "acc")
    told = {"suite": suite, "headline": headline, "shots": 10}
    return _filled(base, given, told, CHAT_CHOICE if chosen else CHAT)


def with_behaviour(given: Config, functions: bool) -> Config:
    """Fill a task on a user's style data with the behaviour suite's settings; given keys win."""
    added = {"headline": "joint", "added_by_harness": ["fluency", "joint"], "shots": 4}
    told = {"suite": "behavior_shift", "paraphrase": NEUTRAL, **added}
    return _filled(read(BEHAVIOUR, functions), given, told)


def _filled(base: Config, given: Config, metadata: Config, chat: str | None = None) -> Config:
    """Put what is given over the settings of a kind; other words have no chat words of ours."""
    spoken = {"chat": chat} if chat and "doc_to_text" not in given else {}
    own = {key: value for key, value in given.items() if key != "class"}
    told = {"version": 1.0, **metadata, **spoken, **(given.get("metadata") or {})}
    return base | own | {"metadata": told}


@functools.cache
def _pass_over(reason: str) -> None:
    """Say once that a file of a folder is no task; lm-eval passes over it without a word."""
    logging.getLogger(__name__).warning("passed over: %s", reason)


def files(folder: Path) -> list[Path]:
    """Return the YAML files below a folder in lm-eval's order."""
    return sorted(folder.glob("**/*.yaml"), key=lambda path: path.as_posix())


def defined(include_path: str | Path | None = None) -> dict[str, Path]:
    """Return every task and group by name with its file; a folder given wins over the built-in.

    Raises:
        BadTask: If there is no such folder.
        UnboundedTask: If a file in it would break lm-eval, which opens all of them.
    """
    found: dict[str, Path] = {}
    for folder in (root(), Path(include_path)) if include_path else (root(),):
        if not folder.is_dir():
            raise BadTask(f"{folder}: no such folder; give a folder that holds task YAML files")
        own, bad = scan(folder)
        for error in bad:
            if isinstance(error, UnboundedTask):
                raise error
            _pass_over(str(error))
        found |= own
    return found


def scan(folder: Path) -> tuple[dict[str, Path], list[BadTask]]:
    """Return a folder's tasks and groups by name with their files, and why others are none."""
    found: dict[str, Path] = {}
    tagged: dict[str, Path] = {}
    bad = []
    for path in files(folder):
        try:
            content = read(path)
            name = content.get("group", content.get("task"))
            if name in tagged and name not in found:
                raise BadTask(f"{path}: {name!r} is a tag in {tagged[name].name}; rename one")
        except BadTask as error:
            bad.append(error)
            continue
        if isinstance(name, str):
            found.setdefault(name, path)
            tagged.update(dict.fromkeys(tags(content), path) | tagged)
    return found, bad


def tags(content: Config) -> tuple[str, ...]:
    """Return the tags of a task; a group has none."""
    own = () if "group" in content else content.get("tag") or ()
    return tuple(map(str, [own] if isinstance(own, str) else own))


def suites(include_path: str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """Return every group of tasks with their names.

    One that names other groups, or tasks from elsewhere, is for lm-eval alone to make.
    """
    contents = {name: read(path) for name, path in defined(include_path).items()}
    groups = {name: members(content) for name, content in contents.items() if "group" in content}
    single = contents.keys() - groups.keys()
    return {name: own for name, own in groups.items() if single.issuperset(own)}


def group(name: str, include_path: str | Path | None = None) -> Config:
    """Return a group's YAML."""
    return read(defined(include_path)[name])


def tasks(include_path: str | Path | None = None) -> tuple[str, ...]:
    """Return the names of all tasks, suite by suite and then those outside of every suite."""
    grouped = [task for members in suites(include_path).values() for task in members]
    known = defined(include_path)
    single = [name for name, path in known.items() if "group" not in read(path)]
    return tuple(dict.fromkeys([*grouped, *single]))


def locate(name: str, include_path: str | Path | None = None) -> Path:
    """Return a task's YAML file.

    Raises:
        UnknownTask: If no file defines the task; the message names the nearest one and all.
    """
    known = tasks(include_path)
    found = defined(include_path).get(name)
    if found is None or name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        bad = scan(Path(include_path))[1] if include_path else []
        said = "".join(f" Passed over: {error}." for error in bad[:1])
        raise UnknownTask(f"no task named {name!r}.{hint}{said} Known: {', '.join(known)}")
    return found


def config(
    name: str,
    include_path: str | Path | None = None,
    functions: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a task's YAML with its includes resolved.

    Args:
        name: The task.
        include_path: A folder of the user's own tasks, beside the built-in ones.
        functions: Resolve `!function` tags to functions; their names stand otherwise.
        changes: What a group puts in place of the task's values.

    Raises:
        UnknownTask: If no file defines the task.
    """
    path = locate(name, include_path)
    content = read(path, functions, changes)
    if functions:  # what lm-eval adds too, and what a relative pairs file is found by
        content["metadata"] = (content.get("metadata") or {}) | {"config_source": str(path)}
    return content
