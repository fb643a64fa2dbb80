"""Where tasks come from: the built-in suites, a user's folder, a user's file of pairs."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import task_defs
from harness.errors import UsageError

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

SUITES = ("precision", "behavior_shift")


@dataclass
class Sources:
    """Every task that can be measured, by name.

    Attributes:
        include_path: A folder of the user's own task YAMLs.
        data: Files of pairs; each is a task named after the file.
    """

    include_path: str | None = None
    data: tuple[str, ...] = ()
    _examples: dict[tuple[str, str], task_defs.Examples] = field(default_factory=dict)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The user's pairs files by task name."""
        found = {Path(file).stem: Path(file) for file in self.data}
        clash = sorted(set(found) & set(task_defs.tasks(self.include_path)))
        if clash or len(found) < len(self.data):
            raise UsageError(
                f"--data {', '.join(self.data)}: the name {(clash or ['of a file'])[0]!r} is "
                "taken; each file's name becomes a task of its own, so rename the file"
            )
        return found

    def select(self, suite: str | None, tasks: str | None) -> tuple[str, ...]:
        """Names of the tasks asked for; with neither a suite nor tasks, every one.

        Files of pairs are measured alone unless a suite or tasks are named beside them.

        Raises:
            ValueError: an unknown suite or task.
        """
        groups = task_defs.suites(self.include_path)
        if suite is not None and suite not in groups:
            raise UsageError(f"no suite named {suite!r}. Suites: {', '.join(sorted(groups))}")
        chosen: list[str] = list(self.files)
        for name in [suite] if suite else []:
            chosen += groups[name]
        for name in (tasks or "").split(","):
            if name:
                chosen += groups.get(name) or [self._known(name)]
        if not chosen:
            chosen = [task for name in SUITES for task in groups[name]]
        return tuple(dict.fromkeys(chosen))

    def _known(self, name: str) -> str:
        if name not in self.files:
            task_defs.config(name, self.include_path)  # raises with the nearest name
        return name

    def metadata(self, name: str) -> dict[str, Any]:
        """A task's suite, headline metric, shots and instruction."""
        if name in self.files:
            content = task_defs.pairs_task(self.files[name])
        else:
            content = task_defs.config(name, self.include_path)
        return dict(content.get("metadata") or {})

    def examples(self, name: str, split: str) -> task_defs.Examples:
        """The pairs of one split of a task."""
        key = (name, split)
        if key not in self._examples:
            self._examples[key] = (
                task_defs.pairs_file(self.files[name], split)
                if name in self.files
                else task_defs.examples(name, split, self.include_path)
            )
        return self._examples[key]

    def fingerprint(self, name: str) -> str:
        """12 hex digits over every split's pairs, the template and the metrics' metadata."""
        splits = [
            self.examples(name, split).fingerprint() for split in ("train", "validation", "test")
        ]
        text = json.dumps([splits, self.metadata(name)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def load(self, name: str) -> ConfigurableTask:
        """A fresh lm-eval task."""
        spec = task_defs.pairs_task(self.files[name]) if name in self.files else name
        return self._manager.load([spec])["tasks"][name]

    def load_any(self, name: str) -> dict[str, ConfigurableTask]:
        """Fresh lm-eval tasks by a name of ours or of lm-eval's own: a task, a group or a tag.

        Raises:
            UsageError: nobody defines the name.
        """
        if name in self.files or name in task_defs.tasks(self.include_path):
            return {name: self.load(name)}
        manager = self._task_manager(include_defaults=True)
        if name not in manager.all_tasks:
            near = difflib.get_close_matches(name, manager.all_tasks, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"no task named {name!r}, neither here nor in lm-eval.{hint}")
        loaded: dict[str, ConfigurableTask] = manager.load([name])["tasks"]
        return loaded

    @cached_property
    def _manager(self) -> Any:
        return self._task_manager(include_defaults=False)

    def _task_manager(self, *, include_defaults: bool) -> Any:
        from lm_eval.tasks import TaskManager

        folders = [str(task_defs.root()), *([self.include_path] if self.include_path else [])]
        return TaskManager(include_path=folders, include_defaults=include_defaults)
