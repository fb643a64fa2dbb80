"""`steergauge sweep`: a method over layers, coefficients and numbers of heads."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import (
    fit_option,
    include_methods,
    method_option,
    model_options,
    one_task,
    open_session,
    out_option,
    quiet,
    sources,
    task_options,
    writable,
)
from harness.commands.values import filled, key_values, numbers, reals, seed
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.tuning.sweeping import Swept

COEFFICIENTS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    method_option(parser)
    fit_option(parser)
    group = parser.add_argument_group("grid")
    group.add_argument("--method", type=filled, default="fv", metavar="NAME", help="(default: fv)")
    group.add_argument(
        "--settings", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="the method's other settings",
    )  # fmt: skip
    group.add_argument(
        "--layers", type=numbers, default=(), metavar="N,...",
        help="0-based blocks (default: all; a method with a layer setting is fitted for each, and "
        "one that edits every layer stays where it is)",
    )  # fmt: skip
    group.add_argument(
        "--coefficients", type=reals, default=COEFFICIENTS, metavar="X,...",
        help=f"(default: {','.join(f'{c:g}' for c in COEFFICIENTS)})",
    )  # fmt: skip
    group.add_argument("--heads", type=numbers, default=(), metavar="N,...", help="of fv")
    group.add_argument(
        "--metric", metavar="NAME",
        help="acc: the whole right answer is the greedy one; logprob: its mean per token; or a "
        "metric of the task (default: acc, or the task's headline where answers are chosen)",
    )  # fmt: skip
    group.add_argument(
        "--split", choices=("validation", "test"), default="validation",
        help="settings are chosen on validation (default)",
    )  # fmt: skip
    group.add_argument(
        "--prompting", choices=("zero_shot", "few_shot", "shuffled_few_shot"), default="zero_shot",
        help="what the vector is added to (default: zero_shot)",
    )  # fmt: skip
    group.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    out_option(parser, "sweep", "sweep.csv and a heat map")


def execute(arguments: argparse.Namespace) -> int:
    """Sweep, print the table, write the files."""
    quiet()
    include_methods(arguments.include_method)
    from steering import get

    get(arguments.method).from_settings(arguments.settings)
    found = sources(arguments)
    task = one_task(arguments, found, "a grid is swept")
    out = writable(arguments.output_path)
    session = open_session(arguments, found)

    from harness.measuring.spec import Arm
    from harness.tuning.chosen import Tuner
    from harness.tuning.sweeping import sweep_task

    tuner = Tuner(session)
    spec = session.spec(task, Arm(arguments.prompting, arguments.prompting), arguments.seed)
    with tuner.remembering():
        swept = sweep_task(
            tuner,
            spec,
            arguments.method,
            settings=arguments.settings,
            layers=arguments.layers,
            coefficients=arguments.coefficients,
            heads=arguments.heads,
            split=arguments.split,
            metric=arguments.metric,
        )
    _show(f"{arguments.method} on {task}", swept, out)
    return 0


def _show(title: str, swept: Swept, out: Path) -> None:
    from rich.console import Console

    from harness.commands.screen import drawn
    from reports.facts import unfit
    from reports.heat import Heat

    metric, cells, sign = swept.metric, swept.cells, 1 if swept.higher_is_better else -1
    known = [cell for cell in cells if not math.isnan(float(cell[metric]))]
    if not known:
        raise UsageError(f"no cell of {title} could be measured: every vector breaks the model")
    heat = Heat(title, metric, cells)
    console = Console()
    for table in heat.tables():
        console.print(drawn(table, [column.key for column in table.columns]))
    best = max(known, key=lambda cell: sign * float(cell[metric]))
    place = ", ".join(f"{key} {best[key]}" for key in ("heads", "layer") if best[key] is not None)
    console.print(
        f"best of {len(cells)} cells on {best['n']} documents: {metric} {best[metric]:.3f} at "
        f"{place}{', ' if place else ''}coefficient {best['coefficient']:g}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    for what, number, asked in unfit(swept.unfit):
        said = f"{number} of {asked} requests: {what}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    for path in heat.write(out):
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)
