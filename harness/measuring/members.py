"""lm-eval's manager of tasks, which notes what groups put over their tasks' own settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory

from harness.measuring.changes import agreed

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.measuring.changes import Changes

OF_NAMES = ("task", "group", "tag", "task_list", "task_alias", "group_alias")
"""Keys that say what something is called or belongs to."""


class Factory(TaskFactory):  # type: ignore[misc]
    """Notes what each task is built with."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.noted: list[tuple[str, Changes]] = []

    def _build_task(self, entry: Any, overrides: dict[str, Any] | None) -> Any:
        own = {key: value for key, value in (overrides or {}).items() if key not in OF_NAMES}
        self.noted.append((entry.name, own))
        # A group or tag under `task:` with settings beside it would give its name to all its tasks.
        return super()._build_task(entry, {**(overrides or {}), "task": entry.name})


class Manager(TaskManager):  # type: ignore[misc]
    """lm-eval's manager of the tasks of some folders.

    Args:
        folders: Of YAMLs; later ones win.
        metadata: Put into every task's.
    """

    def __init__(self, folders: Sequence[str], metadata: dict[str, Any] | None = None) -> None:
        super().__init__(
            include_path=list(folders), include_defaults=False, metadata=metadata or {}
        )
        self._factory = Factory(meta=metadata or {})

    def load(self, task_list: Any) -> Any:
        """What lm-eval loads, and under `changes` what groups change of each task.

        Raises:
            AskedTwice: a group names a task twice, with different settings.
        """
        self._factory.noted.clear()
        found = super().load(task_list)
        changes: dict[str, Changes] = {}
        for name, own in self._factory.noted:
            agreed(name, ("a group", changes.setdefault(name, own)), ("a group", own))
        return {**found, "changes": changes}

    def changed(self, name: str, changes: Changes) -> ConfigurableTask:
        """A task with what a group puts over its settings."""
        entry = self.task_index[name]
        return self._factory.build(entry, overrides=dict(changes), registry=self.task_index)
