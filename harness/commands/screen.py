"""What a person sees while a comparison runs, and when it is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from reports.record import Record
    from reports.table import Table as Report
    from reports.writer import Paths

SHOWN = ("arm", "value", "difference", "interval", "p_holm", "fit_s", "ms_per_doc")
"""Columns of the suite tables that fit a terminal."""


WIDE = 140
"""Columns where the output is not a terminal."""


class Bars:
    """A bar for each phase of a grid: loading, tuning, measuring, writing."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[what]}", style="dim"),
            console=Console(stderr=True),
        )  # fmt: skip
        self._phases: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(self, mistake: type[BaseException] | None, *_: object) -> None:
        """Leave them as they stand; after a mistake only its message remains."""
        self._progress.live.transient = mistake is not None
        self._progress.stop()

    def loading(self, model: str) -> None:
        """The model is being loaded."""
        self._begin("loading", 1, model)

    def start(self, tuning: int, measuring: int) -> None:
        """The model is there; so much is to be done."""
        self._step("loading", "")
        if tuning:
            self._begin("tuning", tuning, "")
        self._begin("measuring", measuring, "")

    def tuned(self, what: str) -> None:
        """One search is done."""
        self._step("tuning", what)

    def measured(self, what: str) -> None:
        """One measurement is done."""
        self._step("measuring", what)

    def writing(self) -> None:
        """Only the report is missing."""
        self._begin("writing", None, "report")

    def _begin(self, phase: str, total: int | None, what: str) -> None:
        self._phases[phase] = self._progress.add_task(phase, total=total, what=what)

    def _step(self, phase: str, what: str) -> None:
        self._progress.update(self._phases[phase], advance=1, what=what)


def show(records: Sequence[Record], paths: Paths) -> None:
    """Print the table of every suite, the summary, and where the report lies."""
    from reports.claim import summary
    from reports.comparison import by_model
    from reports.tables import suite_table

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for comparison in by_model(records):
        for suite in comparison.suites:
            console.print(drawn(suite_table(comparison, suite), SHOWN))
        for line in summary(comparison):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if comparison.limited:
            console.print("Measured with --limit: a trial, not a result.", style="bold")
    console.print(f"report: {paths.page}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"        {paths.markdown}", markup=False, highlight=False, soft_wrap=True)


def drawn(report: Report, shown: Sequence[str]) -> Table:
    """Some columns of a report's table for the terminal."""
    columns = [column for column in report.columns if column.key in shown]
    table = Table(title=report.title, title_justify="left")
    for column in columns:
        table.add_column(column.title, justify="right" if column.numeric else "left")
    for row in report.rows:
        table.add_row(*(column.text(row) for column in columns))
    return table
