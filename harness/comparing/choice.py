"""Which arms a comparison has when nobody names them, and which ones its tasks allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.lm.registry import method_names
from harness.measuring.spec import CONTROLS, DEFAULT_ARMS, parse_arms

if TYPE_CHECKING:
    from harness.measuring.sources import Sources
    from harness.measuring.spec import Arm

BUILT_IN = ("fv", "icv")
"""The methods that the default arms name already."""


def choose_arms(named: Sequence[str] | None, found: Sources, tasks: Sequence[str]) -> list[Arm]:
    """The arms that are named, or those that these tasks and all known methods allow.

    Raises:
        UsageError: an unknown arm, or `instruction` named for a task without one.
    """
    known = method_names()
    bare = [task for task in tasks if "instruction" not in found.metadata(task)]
    if named is None:
        added = [name for name in known if name not in (*BUILT_IN, *CONTROLS)]
        every = (*DEFAULT_ARMS, *added, *(f"random_vector:{name}" for name in added))
        return parse_arms([arm for arm in every if not (bare and arm == "instruction")], known)
    arms = parse_arms(list(named), known)
    if bare and any(arm.prompting == "instruction" for arm in arms):
        raise UsageError(
            f"task {bare[0]!r} has no metadata.instruction, which the arm 'instruction' asks; "
            "add one sentence that says what to do, or leave the arm out"
        )
    return arms
