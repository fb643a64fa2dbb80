"""`steergauge compare`: every arm on both suites, tuned, tested, reported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.commands.executor import executor, executor_options
from harness.commands.idle import idle
from harness.commands.options import (
    asking,
    fit_option,
    include_methods,
    judge_check_option,
    judge_options,
    method_option,
    metric_option,
    model_options,
    out_option,
    quiet,
    sources,
    task_options,
    writable,
)
from harness.commands.protocol import protocol_options
from harness.commands.values import dose, listed, positive, seeds
from harness.comparing.choice import choose_arms, choose_side
from harness.lm.launch import local_rank
from harness.lm.loading import arguments_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness.comparing.grid import Executor, Grid, Progress
    from harness.measuring.sources import Sources
    from reports import Record

EXIT = (0, 2)
"""When all was measured, and when something could not be."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    judge_options(parser)
    judge_check_option(parser)
    protocol_options(parser)
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--arms", type=listed, metavar="NAME,...",
        help="what is compared: promptings, methods, controls such as random_vector:fv, and "
        "combinations such as fv@few_shot (default: those of `steergauge ls arms`, and every "
        "method that is not built in with its control)",
    )  # fmt: skip
    method_option(group)
    group.add_argument(
        "--seeds", type=seeds, default=(0,), metavar="N,...",
        help="of demonstrations, fits, controls and tuning (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--budget", type=positive, metavar="N",
        help="configurations that each method gets on each task (default: 192 where given answers "
        "are scored, 24 where answers are generated or --dose is given)",
    )  # fmt: skip
    group.add_argument(
        "--dose", type=dose, metavar="NATS",
        help="compare methods at equal strength: coefficients give this KL from the unsteered "
        "model on neutral text, and only the other settings are tuned",
    )  # fmt: skip
    group.add_argument(
        "--templates", type=positive, default=0, metavar="N",
        help="ask again in N other wordings (metadata.wordings of the task or its suite), at the "
        "settings that were chosen in the task's own: how much of a gain is left",
    )  # fmt: skip
    group.add_argument(
        "--dry_run", action="store_true",
        help="print the cells, their number, and what time and memory the records at hand suggest",
    )  # fmt: skip
    metric_option(group)
    fit_option(group)
    group.add_argument(
        "--side_effects", type=listed, metavar="NAME,...",
        help="tasks that nothing is tuned for, such as wikitext,truthfulqa_mc1: every vector is "
        "measured on them too, against the unsteered model",
    )  # fmt: skip
    executor_options(parser)
    out_option(parser, "out", "records and report; the same command again continues there")


def execute(arguments: argparse.Namespace) -> int:
    """Measure what is missing and write the report."""
    quiet()
    plan = Plan.of(arguments)
    arguments_of(arguments.model, arguments.model_args)
    grid = plan.grid
    if arguments.dry_run:
        from harness.commands.status import forecast

        return forecast(grid, arguments.output_path)
    out = writable(arguments.output_path)

    from harness.commands.progress import display
    from harness.commands.screen import show

    with display(quiet=local_rank() > 0) as progress:
        progress.begin("loading")
        progress.now(arguments.model)
        where = executor(arguments, out, plan.sources)
        records, failures = plan.measured(where, out, progress)
        if not where.leads:
            return EXIT[bool(failures)]
        progress.begin("writing")
        from reports.writer import write

        paths = write(out, records, failures=failures)
    show(records, paths)
    for name, reason in failures.items():
        print(f"steergauge: {name}: {reason}", file=sys.stderr)
    return EXIT[bool(failures)]


@dataclass(frozen=True)
class Plan:
    """What a comparison is to measure.

    Attributes:
        sources: Where its tasks come from.
        grid: Tasks x arms x seeds.
        checks: Texts of the user's own by which judges are judged, by task.
    """

    sources: Sources
    grid: Grid
    checks: Mapping[str, Any]

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Plan:
        """What the options ask.

        Raises:
            ValueError: unknown tasks, arms or methods; one line.
        """
        from harness.comparing.grid import Grid
        from harness.measuring.judging import read_checks

        include_methods(arguments.include_method)
        found = sources(arguments)
        tasks = found.select(arguments.suite, arguments.tasks)
        named = arguments.arms.split(",") if arguments.arms else None
        arms = choose_arms(named, found, tasks, asking(arguments).frame)
        checks = read_checks(arguments.judge_check, found.behaviour(tasks))
        side = choose_side(arguments.side_effects, found, arms)
        for said in idle(arguments, found, tasks, arms, side):
            print(f"steergauge: {said}", file=sys.stderr)
        grid = Grid(tasks, arms, arguments.seeds, arguments.budget, arguments.dose, side)
        return cls(found, grid, checks)

    def measured(
        self, where: Executor, out: Path, progress: Progress | None = None
    ) -> tuple[list[Record], dict[str, str]]:
        """The records, and why cells failed where some did.

        Raises:
            CellsFailed: nothing could be measured.
        """
        from harness.comparing.arm import rejudged
        from harness.comparing.grid import CellsFailed
        from harness.measuring.judging import Judging

        failures: dict[str, str] = {}
        try:
            records = self.grid.run(where, out, progress)
        except CellsFailed as problem:
            if not problem.records:
                raise
            records, failures = problem.records, problem.failures
        if self.checks and where.leads:
            found = self.sources
            judging = Judging(found.judges[1:], encoder=found.encoder, checks=self.checks)
            records = rejudged(judging, found, records, out)
        return records, failures
