"""What a person sees when a command is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from reports.record import Record
    from reports.runs import Run
    from reports.table import Table as Report
    from reports.writer import Paths

SHOWN = ("arm", "value", "difference", "interval", "p_holm", "fit_s", "ms_per_doc")
"""Columns of the suite tables that fit a terminal."""


FEW = 3
"""Notes on requests that do not fit; the report has all."""

HIDDEN = ("tasks", "n", "interval")
"""Columns of a difference between two runs that do not."""

WIDE = 140
"""Columns where the output is not a terminal."""


def show(records: Sequence[Record], paths: Paths) -> None:
    """Print the table of every suite, the summary, and where the report lies."""
    from reports.claim import summary
    from reports.comparison import by_model
    from reports.facts import misfits
    from reports.tables import suite_table

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for comparison in by_model(records):
        for suite in comparison.suites:
            console.print(drawn(suite_table(comparison, suite), SHOWN))
        unfit = misfits(comparison.records)
        more = [f"{len(unfit) - FEW} more such notes in the report."] if len(unfit) > FEW else []
        for line in (*summary(comparison), *unfit[:FEW], *more):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if comparison.limited:
            console.print("Measured with --limit: a trial, not a result.", style="bold")
    _where(console, paths)


def show_runs(runs: Sequence[Run], paths: Paths) -> None:
    """Print what stands beside each other, and where the report lies."""
    from reports.writer import joint_tables

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for table in joint_tables(runs):
        console.print(drawn(table, [c.key for c in table.columns if c.key not in HIDDEN]))
        console.print(table.note, markup=False, highlight=False, soft_wrap=True)
    _where(console, paths)


def _where(console: Console, paths: Paths) -> None:
    console.print(f"report: {paths.page}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"        {paths.markdown}", markup=False, highlight=False, soft_wrap=True)


def drawn(report: Report, shown: Sequence[str]) -> Table:
    """Some columns of a report's table for the terminal."""
    columns = [column for column in report.columns if column.key in shown]
    table = Table(title=Text(report.title), title_justify="left")
    for column in columns:
        table.add_column(Text(column.title), justify="right" if column.numeric else "left")
    for row in report.rows:
        table.add_row(*(Text(column.text(row)) for column in columns))
    return table
