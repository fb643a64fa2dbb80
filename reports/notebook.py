"""Results in a Python session: tidy tables, and what a notebook shows of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from reports import comparison
from reports.frame import frame
from reports.record import Record
from reports.table import Table
from reports.tables import suite_table
from reports.writer import Paths, write

COLUMNS = ("task", "metric", "value", "stderr", "n", "higher_is_better", "num_fewshot", "seconds")


class Comparison(comparison.Comparison):
    """Arms beside each other on the same documents; a notebook shows the suite tables.

    Args:
        records: Finished records of one model, asked in one way.
        failures: Why something could not be measured, by name.
    """

    def __init__(
        self, records: Iterable[Record], failures: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(records)
        self.failures = dict(failures or {})

    def frame(self) -> pd.DataFrame:
        """One row per model, suite, task, arm, seed and metric; missing values are NaN."""
        return frame([*self.records, *self.side_records])

    def write(self, folder: str | Path) -> Paths:
        """Write the report: markdown, HTML, CSV, LaTeX and figures."""
        every = [*self.records, *self.side_records]
        return write(Path(folder), every, failures=self.failures)

    def _repr_html_(self) -> str:
        """The table of every suite, as the report has it."""
        parts = [_html(suite_table(self, suite)) for suite in self.suites]
        if self.limited:
            parts.append("<p><b>Measured with a limit: a trial, not a result.</b></p>")
        parts += [f"<p>{escape(f'{name}: {why}')}</p>" for name, why in self.failures.items()]
        return "\n".join(parts)


def _html(table: Table) -> str:
    headers = [column.title for column in table.columns]
    align = ["right" if column.numeric else "left" for column in table.columns]
    body = tabulate(table.texts(), headers, "html", colalign=align, disable_numparse=True)
    return f"<h4>{escape(table.title)}</h4>\n{body}\n<p><small>{escape(table.note)}</small></p>"


@dataclass(frozen=True)
class Evaluation:
    """What a model answered under one steering.

    Attributes:
        results: Metrics, seconds and proof by task and group, as `steergauge run` writes them.
        documents: What was asked and answered, by task.
    """

    results: Mapping[str, Mapping[str, Any]]
    documents: Mapping[str, list[dict[str, Any]]] = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One row per task (or group) and metric; missing values are NaN."""
        rows = [
            {"task": task, "metric": name, **metric,
             **{key: result.get(key) for key in ("num_fewshot", "seconds")}}
            for task, result in self.results.items()
            for name, metric in result["metrics"].items()
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _repr_html_(self) -> str:
        """The frame as a table."""
        return str(self.frame().to_html(index=False, na_rep="–"))
