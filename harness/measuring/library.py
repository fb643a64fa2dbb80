"""lm-eval's tasks by name, group or tag: loaded once, lent as fresh copies."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import lm
from harness.errors import UsageError, UserCodeFailed, did_you_mean
from harness.measuring import local_data
from task_defs.catalog import scan
from task_defs.groups import circle, members
from task_defs.guard import belongs_to_user, is_own, passed, said, users_code
from task_defs.schema import wrong_name

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import ConfigurableTask

    from harness.measuring.changes import Changes


class Loaded(NamedTuple):
    """Tasks, the groups that they belong to, and what these change of them, by name."""

    tasks: dict[str, ConfigurableTask]
    groups: dict[str, Group]
    changes: Mapping[str, Changes] = {}


@dataclass
class Library:
    """Every task that lm-eval knows, and those of some folders.

    Attributes:
        folders: Folders of YAMLs beside lm-eval's own; theirs win.
        datasets: Files of one's own in place of the hub, by task and role (empty: what is asked).
    """

    folders: Sequence[str]
    datasets: Mapping[str, Mapping[str, Path]]
    _tasks: dict[str, ConfigurableTask] = field(default_factory=dict)
    _columns: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in self.folders:
            belongs_to_user(Path(folder))

    @cached_property
    def _manager(self) -> Any:
        """lm-eval's manager, made when a name needs it: it reads 14 thousand YAMLs."""
        from lm_eval.tasks._yaml_loader import load_yaml

        from harness.measuring.members import Manager

        manager = Manager(self.folders)
        manager._index = {**_defaults(), **manager._index}
        for name, given in self.datasets.items():
            entry = manager.task_index.get(name)
            if entry is None:
                raise UsageError(
                    f"--dataset {name}: {self._unknown(name, list(manager.task_index))}"
                )
            if inner := _tasks_below(manager.task_index, name):
                raise UsageError(
                    f"--dataset {name}: documents are given task by task, and that is the name of "
                    f"several; give TASK=PATH for {_some(inner)}"
                )
            parts = {
                own_role or role: part
                for role, path in given.items()
                for own_role, part in local_data.read(path).items()
            }
            columns = dict.fromkeys(key for part in parts.values() for key in part.column_names)
            self._columns[name] = list(columns)
            config = local_data.relocated(load_yaml(entry.yaml_path), parts)
            manager.task_index[name] = dataclasses.replace(entry, yaml_path=None, cfg=config)
        return manager

    @property
    def names(self) -> Sequence[str]:
        """Every task, group and tag."""
        return list(self._manager.task_index)

    def find(self, name: str, changes: Changes | None = None) -> Loaded:
        """The tasks behind a name, and its groups.

        Args:
            name: A task, group or tag.
            changes: What a group that is not found here puts over a task's settings.

        Raises:
            UsageError: nobody defines the name, or its documents cannot be loaded.
        """
        if name in self._tasks:
            return Loaded({name: self._tasks[name]}, {})
        if reason := wrong_name(name):
            raise UsageError(f"no task can be named {name[:40]!r}: {reason}")
        if name not in self._manager.task_index:
            raise UsageError(self._unknown(name, self.names))
        hint = self._hint(name)
        if changes:
            self._tasks[name] = guarded(name, lambda: self._manager.changed(name, changes), hint)
            return self.find(name)
        found = loaded(self._manager, name, hint)
        self._tasks.update(found["tasks"])
        return Loaded(found["tasks"], found.get("groups", {}), found["changes"])

    def _hint(self, name: str) -> str:
        """What to do where a task cannot be loaded."""
        given = [each for each in self.datasets if each == name or each in self._below(name)]
        if given:
            said = (f"{each}: {_some(self._columns[each])}" for each in given)
            return f"; fields of the documents that were given: {'; '.join(said)}"
        below = self._below(name)
        each = f"TASK=FILE for {_some(below)}" if below else f"{name}=FILE"
        return f"; where documents cannot be fetched, give your own: --dataset {each}"

    def _below(self, name: str) -> list[str]:
        return _tasks_below(self._manager.task_index, name)

    def _unknown(self, name: str, known: Sequence[str]) -> str:
        hint = did_you_mean(name, known)
        bad = [problem for folder in self.folders for problem in scan(Path(folder))[1]]
        more = f" Passed over: {bad[0]}" if bad else ""
        return f"no task named {name!r}, neither here nor in lm-eval.{hint}{more}"


@functools.cache
def _defaults() -> Mapping[str, Any]:
    """What lm-eval itself knows, by name; read once, since nobody edits it."""
    from lm_eval.tasks import TaskManager

    return dict(TaskManager(include_defaults=True).task_index)


def _listed(index: Mapping[str, Any], name: str) -> Iterable[str]:
    """The members of a group or tag; none of a task."""
    entry = index.get(name)
    if entry is None:
        return ()
    return entry.tags if entry.cfg is None else members(entry.cfg)  # a tag has nothing else


def _tasks_below(index: Mapping[str, Any], name: str) -> list[str]:
    """The tasks of a group or tag, sorted; none of a task, or of a group in a circle."""
    if circle(name, functools.partial(_listed, index)):
        return []
    found, left = set[str](), list(_listed(index, name))
    while left:
        each = left.pop()
        inner = list(_listed(index, each))
        left += inner
        found |= set() if inner else {each}
    return sorted(found)


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def located(given: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Files by task and role, of `TASK=PATH` and `TASK:ROLE=PATH`.

    Raises:
        UsageError: something else was given.
    """
    found: dict[str, dict[str, Path]] = {}
    for text in given:
        left, equals, path = text.partition("=")
        name, colon, role = left.partition(":")
        if not (equals and path and name) or bool(colon) != (role in local_data.ROLES):
            raise UsageError(
                f"--dataset {text}: expected TASK=PATH, or TASK:ROLE=PATH where ROLE is one of "
                f"{', '.join(local_data.ROLES)}"
            )
        found.setdefault(name, {})[role] = Path(path)
    return found


def guarded(name: str, load: Callable[[], Any], hint: str = "") -> Any:
    """What loading a task gives: its files, its functions and its data set can raise anything.

    Args:
        name: The task.
        load: Loads it.
        hint: What to do about it.

    Raises:
        UsageError: in one line.
    """
    try:
        with users_code(f"task {name}", UserCodeFailed):
            return load()
    except UserCodeFailed as problem:
        raise UserCodeFailed(f"{problem}{hint}") from problem


@contextmanager
def words_of(task: ConfigurableTask) -> Iterator[None]:
    """Where a task's own templates and functions are asked for prompts, answers or numbers.

    Raises:
        UsageError: whatever they raise, in one line.
    """
    with users_code(f"task {task.config.task}", UserCodeFailed):
        yield


@contextmanager
def asked_together(names: Sequence[str]) -> Iterator[None]:
    """Where lm-eval asks a model and scores what it answers.

    Raises:
        UsageError: what a task's filters, functions and aggregations raise, in one line; what the
            model raises stays as it is.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        if is_own(problem) or passed(problem, Path(lm.__file__).parent):
            raise
        what = f"{'task' if len(names) == 1 else 'one of the tasks'} {', '.join(names)}"
        raise UserCodeFailed(f"{what}: {said(problem)}") from problem


def loaded(manager: Any, asked: str | dict[str, Any], hint: str = "") -> Any:
    """What lm-eval's manager makes of a name.

    Args:
        manager: It.
        asked: A task, group or tag; or a task's configuration.
        hint: What to do where it cannot be loaded.

    Raises:
        UsageError: it cannot be loaded, or is a group that contains itself; in one line.
    """
    index, name = manager.task_index, asked if isinstance(asked, str) else str(asked.get("task"))
    if way := circle(name, functools.partial(_listed, index)):
        files = {str(index[each].yaml_path) for each in way if index[each].yaml_path}
        raise UsageError(
            f"task {name}: the groups {' > '.join(way)} are in a circle; take one out of another "
            f"({', '.join(sorted(files))})"
        )
    return guarded(name, lambda: manager.load([asked]), hint)


def fresh(task: ConfigurableTask) -> ConfigurableTask:
    """A task that can be prompted and asked by itself; its documents are shared."""
    made = copy.copy(task)
    made._config = copy.deepcopy(task._config)
    made.fewshot_cfg = made._config.fewshot_config
    made._instances = None
    if hasattr(task, "sampler"):
        made.sampler = copy.copy(task.sampler)
    return made


def guarded_scoring(task: ConfigurableTask, name: str) -> Callable[..., Any]:
    """A task's `process_results` that says what is wrong with it."""
    from lm_eval.api.metrics import mean

    scoring: Callable[..., Any] = task.config.process_results
    sums = {metric for metric, own in task.aggregation().items() if own is mean}

    @functools.wraps(scoring)
    def guarded(*given: Any) -> Any:
        with users_code(f"process_results of task {name}", UserCodeFailed):
            found = scoring(*given)
        if not isinstance(found, Mapping):
            raise UserCodeFailed(
                f"process_results of task {name} gave {type(found).__name__}, expected metrics by "
                "name, such as {'acc': 1.0}"
            )
        for metric in sums & found.keys():
            value = found[metric]
            if value is not None and (isinstance(value, str) or not hasattr(value, "__float__")):
                raise UserCodeFailed(
                    f"process_results of task {name} gave {metric}={value!r:.40}, expected a number"
                )
        return found

    return guarded
