"""`steergauge status`: how far a comparison is, from its folder alone, also while it runs."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from harness.commands.values import folder
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.comparing.grid import Grid

STATES = ("done", "running", "failed", "left")


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("folder", type=folder, help="the --output_path of a comparison")


def execute(arguments: argparse.Namespace) -> int:
    """Count the cells of each state, and name those that run or failed."""
    from rich.console import Console
    from rich.table import Table

    from harness.comparing.ledger import PLAN, Ledger

    try:
        cells = Ledger(arguments.folder).state()
    except OSError as problem:
        raise UsageError(
            f"{arguments.folder}: no {PLAN} there; give the --output_path of a comparison"
        ) from problem
    except (ValueError, KeyError, TypeError) as problem:
        raise UsageError(
            f"{arguments.folder / PLAN}: not a plan; the comparison's command writes it anew"
        ) from problem
    table = Table()
    for heading in ("cells", *STATES, "records"):
        table.add_column(heading, justify="left" if heading == "cells" else "right")
    for kind in ("tuning", "measuring"):
        own = [cell for cell in cells if cell["kind"] == kind]
        counts = Counter(cell["state"] for cell in own)
        wanted = sum(len(cell["runs"]) for cell in own)
        records = f"{sum(cell['recorded'] for cell in own)} of {wanted}"
        shown = records if kind == "measuring" else ""
        table.add_row(kind, *(str(counts[state]) for state in STATES), shown)
    console = Console()
    console.print(table)
    for cell in cells:
        if cell["state"] in ("running", "failed"):
            since = "since " if cell["state"] == "running" else ""
            line = f"{cell['state']}: {cell['kind']} {cell['name']}, {since}{cell['detail']}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def forecast(grid: Grid, out: Path) -> int:
    """Print a comparison's cells, and what they take if they take what records at hand took."""
    from reports.record import BadRecord, load_all

    tasks, arms, seeds, budget = grid.tasks, grid.arms, grid.seeds, grid.budget
    steered = [arm for arm in arms if arm.method]
    tuned = len(tasks) * len(seeds) * bool(steered)
    searches = len({arm.tuned for arm in steered if arm.tuned}) * len(tasks) * len(seeds)
    passes = len(arms) * len(seeds)
    print(
        f"tuning: {tuned} cells (a task and a seed each), {searches} searches"
        f"{f' of {budget}' if budget else ''}"
    )
    print(f"measuring: {passes} cells (an arm and a seed each), {passes * len(tasks)} records")
    of_each = f"{len(tasks)} task{'s'[: len(tasks) != 1]}, seeds {', '.join(map(str, seeds))}"
    for arm in arms:
        print(f"  {arm.name}: {of_each}")
    passed = [arm for arm in steered if "@" not in arm.name]
    asked = sum(other != task for task in tasks for other in grid.side) * len(passed) * len(seeds)
    if grid.side:
        print(f"side effects: {len(grid.side)} tasks unsteered, and {asked} records of vectors")
    try:
        records = load_all(out) if out.exists() else []
    except BadRecord as problem:
        print(f"nothing to estimate from: {problem}")
        return 0
    if not records:
        print(f"no records in {out}: nothing to estimate from; one task shows what a cell takes")
        return 0
    tuning = _mean(r.timings.get("tune_s") for r in records if r.spec["arm"]["method"])
    each = _mean(r.timings.get("eval_s") for r in records)
    seconds = tuning * searches + each * (passes * len(tasks) + asked + len(grid.side))
    memory = max(r.timings.get("peak_memory_bytes") or 0 for r in records)
    print(
        f"as in {len(records)} records of {out}: {tuning:.1f} s a search, {each:.2f} s a record, "
        f"{seconds / 60:.0f} min in all on one worker, {memory / 2**30:.1f} GiB each"
    )
    return 0


def _mean(values: Iterable[float | None]) -> float:
    found = [value for value in values if value is not None]
    return fmean(found) if found else 0.0
