"""`steergauge compare`: every arm on both suites, tuned, tested, reported."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import (
    include_methods,
    method_option,
    model_options,
    numbers,
    open_session,
    out_option,
    positive,
    quiet,
    sources,
    task_options,
    writable,
)
from harness.errors import UsageError
from harness.model import arguments_of
from harness.registry import method_names
from harness.spec import CONTROLS, DEFAULT_ARMS, parse_arms

if TYPE_CHECKING:
    from harness.sources import Sources
    from harness.spec import Arm

BUILT_IN = ("fv", "icv")
"""The methods that the default arms name already."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--arms", metavar="NAME,...",
        help="what is compared: promptings, methods, controls such as random_vector:fv, and "
        "combinations such as fv@few_shot (default: those of `steergauge ls arms`, and every "
        "method that is not built in with its control)",
    )  # fmt: skip
    method_option(group)
    group.add_argument(
        "--seeds", type=numbers, default=(0,), metavar="N,...",
        help="of demonstrations, fits, controls and tuning (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--budget", type=positive, default=24, metavar="N",
        help="configurations that each method gets on each task (default: 24)",
    )  # fmt: skip
    out_option(parser, "out", "records and report; the same command again continues there")


def execute(arguments: argparse.Namespace) -> int:
    """Measure what is missing and write the report."""
    quiet()
    include_methods(arguments.include_method)
    found = sources(arguments)
    tasks = found.select(arguments.suite, arguments.tasks)
    arms = choose_arms(arguments.arms, found, tasks)
    arguments_of(arguments.model, arguments.model_args)
    out = writable(arguments.output_path)

    from harness.commands.screen import Bars, show

    with Bars() as bars:
        bars.loading(arguments.model)
        session = open_session(arguments, found, out)
        from harness.grid import Grid

        records = Grid(tasks, arms, arguments.seeds, arguments.budget).run(session, out, bars)
        bars.writing()
        from reports.writer import write

        paths = write(out, records)
    show(records, paths)
    return 0


def choose_arms(named: str | None, found: Sources, tasks: tuple[str, ...]) -> list[Arm]:
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
    arms = parse_arms(named.split(","), known)
    if bare and any(arm.prompting == "instruction" for arm in arms):
        raise UsageError(
            f"task {bare[0]!r} has no metadata.instruction, which the arm 'instruction' asks; "
            "add one sentence that says what to do, or leave the arm out"
        )
    return arms
