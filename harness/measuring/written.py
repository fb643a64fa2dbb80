"""What the tasks of folders and files say of themselves, with what a protocol puts in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import task_defs
from harness.protocols import Protocol, changed
from task_defs import Given

if TYPE_CHECKING:
    from harness.measuring.changes import Changes

Content = dict[str, Any]


@dataclass
class Written:
    """Tasks' YAMLs by name.

    Attributes:
        files: The user's files by task name.
        include_path: A folder of the user's own task YAMLs.
        suites: By task, the group that it was asked for by, where its YAML names no suite.
        protocol: What stands in YAMLs instead of their own keys.
        changes: By task, the name that it is asked by and what that changes of it.
    """

    files: Mapping[str, Given]
    include_path: str | None
    suites: Mapping[str, str]
    protocol: Protocol | None
    changes: Mapping[str, tuple[str, Changes]]
    _made: dict[tuple[str, str], Content] = field(default_factory=dict)

    def plain(self, name: str) -> Content:
        """A task's YAML, its functions by their names."""
        return {**self._own(name), **self._changes(name)}

    def whole(self, name: str) -> Content:
        """A task's YAML with its functions."""
        return {**self._own(name, functions=True), **self._changes(name)}

    def changed(self, name: str) -> Changes:
        """What the group by which a task is asked changes of it."""
        return self.changes.get(name, (name, {}))[1]

    def _own(self, name: str, *, functions: bool = False) -> Content:
        if name not in self.files:
            return task_defs.config(name, self.include_path, functions, self.changed(name))
        if ("file", name) not in self._made:
            self._made["file", name] = self.files[name].task()
        return self._made["file", name]

    def _changes(self, name: str) -> Content:
        if self.protocol is None:
            return {}
        if ("changes", name) not in self._made:
            content, loader = self._own(name), self._own(name, functions=True).get("custom_dataset")
            suite = (content.get("metadata") or {}).get("suite", self.suites.get(name, name))
            settings = self.protocol.part(str(suite)).task
            self._made["changes", name] = changed(content, settings, loader)
        return self._made["changes", name]
