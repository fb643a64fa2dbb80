"""What a group puts in place of its tasks' own settings, and that each task has one such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import UsageError

Changes = Mapping[str, Any]
"""Keys of a task's configuration, with what a group puts in place of the task's own values."""


class AskedTwice(UsageError):
    """A task is asked with different settings under one name."""


def agreed(name: str, one: tuple[str, Changes], other: tuple[str, Changes]) -> None:
    """Refuse a task that two askers want with different settings.

    Args:
        name: The task.
        one: Who asks, and what they change.
        other: Likewise.

    Raises:
        AskedTwice: they differ.
    """
    (first, own), (second, others) = one, other
    differing = sorted(k for k in {**own, **others} if own.get(k) != others.get(k))
    if differing:
        by = f"twice by {first}" if first == second else f"by {first} and by {second}"
        raise AskedTwice(
            f"task {name!r} is asked {by} with different settings ({', '.join(differing)}), and "
            "results go by its name: ask one of them, or include its YAML in one with another name"
        )
