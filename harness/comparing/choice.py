"""Which arms a comparison has when nobody names them, and which ones its tasks allow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.lm.registry import built_in, method_names
from harness.measuring.spec import (
    BARE,
    BASELINE,
    CONTROLS,
    DEFAULT_ARMS,
    parse_arms,
    resolved,
)

if TYPE_CHECKING:
    from harness.measuring.sources import Sources
    from harness.measuring.spec import Arm

WHOLE = "loglikelihood_rolling"
"""The output type of tasks that score texts without a question."""


def choose_arms(
    named: Sequence[str] | None, found: Sources, tasks: Sequence[str], frame: str = "zero_shot"
) -> list[Arm]:
    """The arms that are named, or the default ones and those of methods that are not built in.

    Where tasks are asked in a frame, methods act on top of it, and `baseline` (the frame, or
    zero_shot on tasks without one) is measured beside them.

    Under a protocol they are the paper's.

    Args:
        named: As on the command line; None takes the default arms.
        found: Where tasks come from.
        tasks: Their names.
        frame: The baseline's prompting of tasks that have one.

    Raises:
        UsageError: an unknown arm, or a prompting that a task has no words for.
    """
    known, protocol = method_names(), found.protocol
    if protocol is not None:
        arms = parse_arms(list(named or protocol.arms), known)
        for task in tasks:
            suite = str(found.metadata(task)["suite"])
            protocol.require(suite, (arm.owner for arm in arms if protocol.asks(suite, arm.name)))
        return arms
    framed = frame != BARE[0] and any(frame in found.metadata(task) for task in tasks)
    texts = [task for task in tasks if found.output_type(task) == WHOLE]
    if named is None:
        bare = any("instruction" not in found.metadata(task) for task in tasks)
        added = [name for name in known if name not in (*built_in(), *CONTROLS)]
        more = (f"{name}:default" for name in added), (f"random_vector:{name}" for name in added)
        every = [*DEFAULT_ARMS, *added, *itertools.chain(*more)]
        every[0] = BASELINE if framed else every[0]
        left = [arm for arm in every if not (bare and arm == "instruction")]
        return parse_arms([arm for arm in left if not (texts and "few_shot" in arm)], known)
    arms = parse_arms(list(named), known)
    _require_words(arms, found, tasks)
    if texts and any(arm.prompting not in BARE[:1] for arm in arms if arm.name != BASELINE):
        raise UsageError(
            f"task {texts[0]!r} scores whole texts, which no demonstration and no instruction "
            "comes before; leave such arms out"
        )
    if framed and any(resolved(arm, frame) != arm for arm in arms):
        return list(dict.fromkeys([*parse_arms([BASELINE], known), *arms]))
    return [arm if framed else resolved(arm, BARE[0]) for arm in arms]


def choose_side(named: str | None, found: Sources, arms: Sequence[Arm]) -> tuple[str, ...]:
    """The tasks that are only watched, by names of tasks, suites, groups and tags.

    Args:
        named: As on the command line, separated by commas.
        found: Where tasks come from.
        arms: Of the comparison.

    Raises:
        UsageError: an unknown task, or no arm that steers.
    """
    names = list(filter(None, (named or "").split(",")))
    if names and not any(arm.method for arm in arms):
        raise UsageError("--side_effects: no arm steers; name a method in --arms, such as icv")
    every = [task for name in names for task in found.named(name)]
    return tuple(dict.fromkeys(every))


def _require_words(arms: Sequence[Arm], found: Sources, tasks: Sequence[str]) -> None:
    for prompting in ("instruction", "paraphrase"):
        bare = [task for task in tasks if prompting not in found.metadata(task)]
        if bare and any(arm.prompting == prompting for arm in arms):
            raise UsageError(
                f"task {bare[0]!r} has no metadata.{prompting}, which the arm {prompting!r} asks; "
                "add one sentence that says what to do, or leave the arm out"
            )
