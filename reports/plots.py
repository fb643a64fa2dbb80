"""Figures of a comparison as SVG and PNG: readable when small, safe for colour-blind readers.

A figure is drawn only where the records hold its data. The same records give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from reports import drawing, figures_method, figures_quality, figures_search, figures_side
from reports.comparison import Comparison
from reports.files import write_atomically

STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names may hold dollar signs
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",
    "savefig.dpi": 150,
}


@dataclass(frozen=True)
class Figure:
    """One figure on disk.

    Attributes:
        name: File name without ending.
        title: What it shows, in a few words.
        caption: What is seen and how to read it.
        svg: The vector form.
        png: The same at 150 dots per inch.
    """

    name: str
    title: str
    caption: str
    svg: Path
    png: Path


Draw = Callable[[Comparison], drawing.Made | None]

FIGURES: dict[str, Draw] = {
    "overview": figures_quality.overview,
    "tasks": figures_quality.tasks,
    "pareto": figures_quality.pareto,
    "cost": figures_quality.cost,
    "search": figures_search.search,
    "layers": figures_search.layers,
    "coefficients": figures_search.coefficients,
    "heads": figures_method.heads,
    "side": figures_side.side,
}


def draw(comparison: Comparison, folder: Path, prefix: str = "") -> list[Figure]:
    """Draw every figure that the records allow.

    Args:
        comparison: The records of one model.
        folder: Where the files go.
        prefix: Put before every file name, to keep several models apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return list(_drawn(comparison, folder, prefix))


def _drawn(comparison: Comparison, folder: Path, prefix: str) -> Iterator[Figure]:
    for name, make in FIGURES.items():
        with styled():
            made = make(comparison)
            if made is None:
                continue
            canvas, title, caption = made
            svg, png = folder / f"{prefix}{name}.svg", folder / f"{prefix}{name}.png"
            save(canvas, svg, png)
        yield Figure(name, title, caption, svg, png)


@contextmanager
def styled() -> Iterator[None]:
    """The look of all figures; element ids in an SVG depend on its content alone."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "steergauge"}):
        yield


def save(canvas: Canvas, svg: Path, png: Path) -> None:
    """Write both forms of a figure, without the date."""
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    write_atomically(svg, text.getvalue())
    pixels = io.BytesIO()
    canvas.savefig(pixels, format="png", metadata={"Software": None})
    write_atomically(png, pixels.getvalue())
