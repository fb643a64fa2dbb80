"""Find and read the YAML files of tasks and groups, as lm-eval does and without lm-eval."""

import difflib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Config = dict[str, Any]
PAIRS_CLASS = "task_defs.task.PairsTask"
BASE = Path(__file__).resolve().parent / "precision" / "_precision_task.yaml"


class UnknownTask(ValueError):
    """No YAML file defines the task that was asked for."""


class BadTask(ValueError):
    """A YAML file, or a function that it names, cannot be read."""


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
    spec.loader.exec_module(module)
    return module


def function(spec: str, folder: Path) -> Callable[..., Any]:
    """Resolve `utils.load` of a `!function` tag: a file beside the YAML first, then a module."""
    place, _, name = spec.rpartition(".")
    path = folder / f"{place.replace('.', '/')}.py"
    try:
        if path.exists():
            found = getattr(_module(path.resolve(), path.stat().st_mtime_ns), name)
        else:
            found = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise BadTask(f"!function {spec} is not found beside {folder.name}: {error}") from error
    if not callable(found):
        raise BadTask(f"!function {spec} is not a function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, as lm-eval's


def _parse(path: Path, functions: bool) -> Config:
    class Loader(_Loader):  # type: ignore[misc]
        pass

    def construct(loader: yaml.Loader, node: yaml.ScalarNode) -> Any:
        spec = str(loader.construct_scalar(node))
        return function(spec, path.parent) if functions else spec

    Loader.add_constructor("!function", construct)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise BadTask(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise BadTask(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadTask(f"{path}: expected keys with values, found {type(content).__name__}")
    return content


def read(path: Path, functions: bool = False, _seen: tuple[Path, ...] = ()) -> Config:
    """Read one YAML file with its includes; the file's own keys win.

    Args:
        path: The YAML file.
        functions: Resolve `!function` tags to functions; their names stand otherwise.
    """
    path = path.resolve()
    if path in _seen:
        raise BadTask(f"{path}: includes itself")
    own = _parse(path, functions)
    included = own.pop("include", [])
    merged: Config = {}
    for name in included if isinstance(included, list) else [included]:
        base = read(path.parent / name, functions, (*_seen, path))
        base.pop("task_list", None)
        merged.update(base)
    merged.update(own)
    named = merged.get("class")
    if named == PAIRS_CLASS or getattr(named, "__name__", "") == "PairsTask":
        merged = with_pairs(merged, functions)
    return merged


def with_pairs(given: Config, functions: bool) -> Config:
    """Fill a task on a pairs file with the precision suite's settings; given keys win."""
    base = read(BASE, functions)
    load = "task_defs.pairs.load"
    base["custom_dataset"] = function(load, root()) if functions else load
    metadata = {"suite": "pairs", "headline": "acc", "shots": 10, "version": 1.0}
    own = {key: value for key, value in given.items() if key != "class"}
    return base | own | {"metadata": metadata | (given.get("metadata") or {})}


def files(folder: Path) -> list[Path]:
    """Return the YAML files below a folder in lm-eval's order."""
    return sorted(folder.glob("**/*.yaml"), key=lambda path: path.as_posix())


def defined(include_path: str | Path | None = None) -> dict[str, Path]:
    """Return every task and group by name with its file; a folder given wins over the built-in."""
    found: dict[str, Path] = {}
    for folder in (root(), Path(include_path)) if include_path else (root(),):
        if not folder.is_dir():
            raise BadTask(f"{folder}: no such folder; give a folder that holds task YAML files")
        own: dict[str, Path] = {}
        for path in files(folder):
            try:
                content = read(path)
            except BadTask:
                continue  # `validate` reports it; lm-eval passes over it too
            name = content.get("group", content.get("task"))
            if isinstance(name, str):
                own.setdefault(name, path)
        found |= own
    return found


def suites(include_path: str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """Return every group with its tasks' names."""
    contents = {name: read(path) for name, path in defined(include_path).items()}
    return {
        name: tuple(item["task"] if isinstance(item, dict) else item for item in content["task"])
        for name, content in contents.items()
        if "group" in content and isinstance(content.get("task"), list)
    }


def tasks(include_path: str | Path | None = None) -> tuple[str, ...]:
    """Return the names of all tasks, suite by suite and then those outside of every suite."""
    groups = suites(include_path)
    grouped = [task for members in groups.values() for task in members]
    single = [name for name in defined(include_path) if name not in groups]
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
        raise UnknownTask(f"no task named {name!r}.{hint} Known: {', '.join(known)}")
    return found


def config(
    name: str, include_path: str | Path | None = None, functions: bool = False
) -> dict[str, Any]:
    """Return a task's YAML with its includes resolved.

    Args:
        name: The task.
        include_path: A folder of the user's own tasks, beside the built-in ones.
        functions: Resolve `!function` tags to functions; their names stand otherwise.

    Raises:
        UnknownTask: If no file defines the task.
    """
    path = locate(name, include_path)
    content = read(path, functions)
    if functions:  # what lm-eval adds too, and what a relative pairs file is found by
        content["metadata"] = (content.get("metadata") or {}) | {"config_source": str(path)}
    return content
