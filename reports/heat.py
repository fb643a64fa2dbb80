"""A swept grid as a table, CSV and a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from reports.columns import Column, fixed
from reports.files import write_atomically
from reports.plots import save, styled
from reports.table import Row, Table

KEYS = ("heads", "layer", "coefficient")


@dataclass(frozen=True)
class Heat:
    """One task and method over a grid.

    Attributes:
        title: What was swept.
        metric: The cell's value: a key of the rows.
        rows: Per cell `heads`, `layer`, `coefficient` and the metrics.
    """

    title: str
    metric: str
    rows: Sequence[Row]

    def tables(self) -> list[Table]:
        """Layers down, coefficients across; a table per number of heads."""
        return [self._table(number) for number in self._values("heads")]

    def _values(self, key: str) -> list[Any]:
        return list(dict.fromkeys(row[key] for row in self.rows))

    def _table(self, number: int | None) -> Table:
        own = [row for row in self.rows if row["heads"] == number]
        lines: list[Row] = [
            {"layer": "own" if layer is None else layer}
            | {f"{r['coefficient']:g}": r[self.metric] for r in own if r["layer"] == layer}
            for layer in self._values("layer")
        ]
        across = [f"{value:g}" for value in self._values("coefficient")]
        columns = [Column("layer", "layer", str), *(Column(c, c, fixed()) for c in across)]
        heads = "" if number is None else f", {number} heads"
        return Table(
            f"{self.title}{heads}", f"{self.metric} by layer and coefficient.", columns, lines
        )

    def write(self, out: Path) -> list[Path]:
        """Write sweep.csv, sweep.svg and sweep.png into a folder."""
        columns = [Column(key, key) for key in self.rows[0]]
        paths = [out / name for name in ("sweep.csv", "sweep.svg", "sweep.png")]
        write_atomically(paths[0], Table(self.title, "", columns, self.rows).csv())
        with styled():
            save(self._map(), paths[1], paths[2])
        return paths

    def _map(self) -> Canvas:
        numbers, layers = self._values("heads"), self._values("layer")
        across = self._values("coefficient")
        canvas = Canvas(figsize=(1.4 + max(2.6, 0.52 * len(across)) * len(numbers), 3.4))
        axes = canvas.subplots(1, len(numbers), squeeze=False, sharey=True)[0]
        values = [row[self.metric] for row in self.rows if not np.isnan(row[self.metric])]
        for axis, number in zip(axes, numbers, strict=True):
            grid = np.full((len(layers), len(across)), np.nan)
            for row in self.rows:
                if row["heads"] == number:
                    place = layers.index(row["layer"]), across.index(row["coefficient"])
                    grid[place] = row[self.metric]
            image = axis.imshow(
                grid, cmap="viridis", aspect="auto", origin="lower", vmin=min(values),
                vmax=max(*values, min(values) + 1e-9),
            )  # fmt: skip
            axis.grid(visible=False)
            axis.set_xticks(range(len(across)), [f"{c:g}" for c in across])
            axis.set_yticks(range(len(layers)), ["own" if la is None else la for la in layers])
            axis.set_xlabel("coefficient")
            heads = "" if number is None else f", {number} heads"
            axis.set_title(f"{self.title}{heads}", fontsize=9)
        axes[0].set_ylabel("layer")
        canvas.colorbar(image, ax=list(axes), label=self.metric)
        return canvas
