"""Which arms a comparison has when nobody names them, and which ones its tasks allow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.lm.registry import built_in, method_names
from harness.measuring.spec import CONTROLS, DEFAULT_ARMS, parse_arms

if TYPE_CHECKING:
    from harness.measuring.sources import Sources
    from harness.measuring.spec import Arm


def choose_arms(named: Sequence[str] | None, found: Sources, tasks: Sequence[str]) -> list[Arm]:
    """The arms that are named, or the default ones and those of methods that are not built in.

    Raises:
        UsageError: an unknown arm, or `instruction` named for a task without one.
    """
    known = method_names()
    bare = [task for task in tasks if "instruction" not in found.metadata(task)]
    if named is None:
        added = [name for name in known if name not in (*built_in(), *CONTROLS)]
        more = (f"{name}:default" for name in added), (f"random_vector:{name}" for name in added)
        every = (*DEFAULT_ARMS, *added, *itertools.chain(*more))
        return parse_arms([arm for arm in every if not (bare and arm == "instruction")], known)
    arms = parse_arms(list(named), known)
    if bare and any(arm.prompting == "instruction" for arm in arms):
        raise UsageError(
            f"task {bare[0]!r} has no metadata.instruction, which the arm 'instruction' asks; "
            "add one sentence that says what to do, or leave the arm out"
        )
    return arms
