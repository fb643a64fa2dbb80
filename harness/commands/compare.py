"""`steergauge compare`: every arm on both suites, tuned, tested, reported."""

from __future__ import annotations

import argparse
import sys

from harness.commands.executor import executor, executor_options
from harness.commands.options import (
    include_methods,
    judge_check_option,
    judge_options,
    method_option,
    model_options,
    out_option,
    quiet,
    sources,
    task_options,
    writable,
)
from harness.commands.values import dose, listed, positive, seeds
from harness.comparing.choice import choose_arms
from harness.lm.launch import local_rank
from harness.lm.loading import arguments_of

EXIT = (0, 2)
"""When all was measured, and when something could not be."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    judge_options(parser)
    judge_check_option(parser)
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
        "--budget", type=positive, default=24, metavar="N",
        help="configurations that each method gets on each task (default: 24)",
    )  # fmt: skip
    group.add_argument(
        "--dose", type=dose, metavar="NATS",
        help="compare methods at equal strength: coefficients give this KL from the unsteered "
        "model on neutral text, and only the other settings are tuned",
    )  # fmt: skip
    group.add_argument(
        "--dry_run", action="store_true",
        help="print the cells, their number, and what time and memory the records at hand suggest",
    )  # fmt: skip
    executor_options(parser)
    out_option(parser, "out", "records and report; the same command again continues there")


def execute(arguments: argparse.Namespace) -> int:
    """Measure what is missing and write the report."""
    quiet()
    from harness.measuring.judging import Judging, read_checks

    include_methods(arguments.include_method)
    found = sources(arguments)
    tasks = found.select(arguments.suite, arguments.tasks)
    named = arguments.arms.split(",") if arguments.arms else None
    arms = choose_arms(named, found, tasks)
    checks = read_checks(arguments.judge_check, found.behaviour(tasks))
    arguments_of(arguments.model, arguments.model_args)
    if arguments.dry_run:
        from harness.commands.status import forecast

        seeds = arguments.seeds
        return forecast(tasks, arms, seeds, arguments.budget, arguments.output_path)
    out = writable(arguments.output_path)

    from harness.commands.progress import display
    from harness.commands.screen import show
    from harness.comparing.arm import rejudged
    from harness.comparing.grid import CellsFailed, Grid

    grid = Grid(tasks, arms, arguments.seeds, arguments.budget, arguments.dose)
    failures: dict[str, str] = {}
    with display(quiet=local_rank() > 0) as progress:
        progress.begin("loading")
        progress.now(arguments.model)
        try:
            where = executor(arguments, out)
            records = grid.run(where, out, progress)
        except CellsFailed as problem:
            if not problem.records:
                raise
            records, failures = problem.records, problem.failures
        if not where.leads:
            return EXIT[bool(failures)]
        if checks:
            judging = Judging(found.judges[1:], encoder=found.encoder, checks=checks)
            records = rejudged(judging, found, records, out)
        progress.begin("writing")
        from reports.writer import write

        paths = write(out, records, failures=failures)
    show(records, paths)
    for name, reason in failures.items():
        print(f"steergauge: {name}: {reason}", file=sys.stderr)
    return EXIT[bool(failures)]
