"""Which tasks a name stands for, and what a group changes of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import task_defs
from harness.measuring.changes import Changes, agreed
from harness.measuring.library import Library, loaded
from task_defs.groups import changed

if TYPE_CHECKING:
    from harness.measuring.members import Manager


@dataclass
class Names:
    """Names of tasks, groups and tags, and what is known of tasks by those that asked for them.

    Attributes:
        include_path: A folder of the user's own task YAMLs.
        own: Names of the tasks of the folders and files.
        library: lm-eval's tasks.
        manager: Gives lm-eval's manager of the tasks of the folders alone.
        suites: By task, the name that it was asked by.
        changes: By task, the name that it was asked by and what that changes of it.
    """

    include_path: str | None
    own: frozenset[str]
    library: Library
    manager: Callable[[], Manager]
    suites: dict[str, str] = field(default_factory=dict)
    changes: dict[str, tuple[str, Changes]] = field(default_factory=dict)
    _by_size: dict[str, dict[str, bool]] = field(default_factory=dict)
    _changing: dict[str, Mapping[str, Changes]] = field(default_factory=dict)

    def tasks(self, name: str) -> list[str]:
        """The tasks behind a name of these folders or of lm-eval's.

        Raises:
            UsageError: there are none, or one is asked by another name with other settings.
        """
        groups = task_defs.suites(self.include_path)
        if name in groups:
            return self._members(name, groups[name])
        if name in self.own and name not in self.library.datasets:
            return self.asked([name], {}, name)
        found = self.library.find(name)
        for group in found.groups.values():
            listed = group.aggregate_metric_list or ()
            self._by_size[group.name] = {each.metric: each.weight_by_size for each in listed}
        return self.asked(found.tasks, found.changes, name)

    def _members(self, name: str, tasks: Iterable[str]) -> list[str]:
        """The tasks of a group of these folders."""
        content = task_defs.group(name, self.include_path)
        listed = content.get("aggregate_metric_list") or []
        self._by_size[name] = {
            each["metric"]: bool(each.get("weight_by_size", True))  # as in lm-eval
            for each in (listed if isinstance(listed, list) else [listed])
        }
        if any(own for _, own in changed(content)) and name not in self._changing:
            self._changing[name] = loaded(self.manager(), name)["changes"]
        return self.asked(tasks, self._changing.get(name, {}), name)

    def asked(self, tasks: Iterable[str], changes: Mapping[str, Changes], name: str) -> list[str]:
        """The tasks that a name asks for, from now on with what it changes of them.

        Args:
            tasks: Their names.
            changes: By task.
            name: Of a task, group or tag.

        Raises:
            AskedTwice: one is asked by another name with other settings.
        """
        for task in tasks:
            own = (name, changes.get(task, {}))
            agreed(task, self.changes.setdefault(task, own), own)
            if task != name:
                self.suites.setdefault(task, name)
        return list(tasks)

    def weighs(self, suite: str, metric: str) -> bool:
        """Whether a group weighs its tasks by their documents for a metric, as lm-eval does."""
        return self._by_size.get(suite, {}).get(metric.partition(",")[0], False)
