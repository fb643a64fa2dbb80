"""Options that were given and change nothing: a silent one lets a person believe that it did."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.measuring.sources import Sources
    from harness.measuring.spec import Arm


def idle(
    arguments: argparse.Namespace,
    found: Sources,
    tasks: Sequence[str],
    arms: Sequence[Arm],
    side: Sequence[str],
) -> Iterator[str]:
    """Say of each option of a comparison that has nothing to act on, why.

    Args:
        arguments: The options.
        found: Where tasks come from.
        tasks: What is asked.
        arms: How.
        side: Tasks of side effects.
    """
    if not any(arm.method for arm in arms):
        for option in ("budget", "dose", "fit_on"):
            if getattr(arguments, option) is not None:
                yield f"--{option} changes nothing: no arm steers"
    asked = list(dict.fromkeys([*tasks, *side]))
    if (arguments.judge or arguments.content_encoder) and not found.behaviour(asked):
        option = "--judge" if arguments.judge else "--content_encoder"
        yield f"{option} changes nothing: no task belongs to behavior_shift"
    yield from idle_asking(arguments, {found.output_type(task) for task in asked})
    if arguments.frame and not any(found.metadata(task).get("paraphrase") for task in asked):
        yield "--frame changes nothing: no task has a neutral frame (metadata.paraphrase)"
    own = {*asked, *(found.fitted_on(task) for task in tasks)}
    for name in found.library.datasets:
        if name not in own:
            yield f"--dataset {name} changes nothing: that task is not asked"


def idle_asking(arguments: argparse.Namespace, kinds: Set[str]) -> Iterator[str]:
    """Say the same of options that decide how tasks are asked.

    Args:
        arguments: The options.
        kinds: Output types of the tasks, as lm-eval names them.
    """
    if arguments.gen_kwargs and "generate_until" not in kinds:
        yield "--gen_kwargs changes nothing: no task generates"
    shots = getattr(arguments, "num_fewshot", None)  # not every command has it
    if shots is not None and kinds == {"loglikelihood_rolling"}:
        yield "--num_fewshot changes nothing: whole texts are scored"
