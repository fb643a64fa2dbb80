"""A table as data: columns and rows; every output format writes the same ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from reports import foreign
from reports.columns import Column

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: Its heading.
        note: What a reader must know to read it.
        columns: What is shown.
        rows: One mapping per row.
    """

    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def texts(self) -> list[list[str]]:
        """Every cell as text."""
        return [[column.text(row) for column in self.columns] for row in self.rows]

    def markdown(self) -> str:
        """A GitHub table."""
        align = ["right" if column.numeric else "left" for column in self.columns]
        cells = [
            [
                text if column.numeric else foreign.markdown(text)
                for column, text in zip(self.columns, row, strict=True)
            ]
            for row in self.texts()
        ]
        headers = [foreign.markdown(column.title) for column in self.columns]
        return tabulate(cells, headers, "pipe", colalign=align, disable_numparse=True)

    def latex(self) -> str:
        """A booktabs table."""
        headers = [foreign.printable(column.title) for column in self.columns]
        align = ["right" if column.numeric else "left" for column in self.columns]
        cells = [list(map(foreign.printable, row)) for row in self.texts()]
        body = tabulate(
            cells,
            headers,
            "latex_booktabs",
            colalign=align,
            disable_numparse=True,
        )
        for sign, command in (
            ("↑", r"$\uparrow$"), ("↓", r"$\downarrow$"), ("−", "$-$"), ("–", "--"),
            ("×", r"$\times$"), ("Δ", r"$\Delta$"),
        ):  # fmt: skip
            body = body.replace(sign, command)
        return f"% {foreign.printable(self.title)}\n{body}\n"

    def csv(self) -> str:
        """Raw values, one row per line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([foreign.cell(column.key) for column in self.columns])
        for row in self.rows:
            writer.writerow([foreign.cell(row.get(column.key)) for column in self.columns])
        return out.getvalue()
