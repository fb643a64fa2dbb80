"""What figures share: colours, rows of panels, and names beside points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from scipy.optimize import isotonic_regression

Made = tuple[Canvas, str, str]
"""A figure, its title and its caption."""

BLUE, ORANGE, GREEN, GREY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#7f7f7f", "#CC79A7"
"""Okabe and Ito's colours, told apart by colour-blind readers."""

COLUMNS = 4
"""Panels beside each other."""

LINE = 12.0
"""Height kept free for a name, in pixels of the figure's own resolution."""


def panels(titles: Sequence[str], size: tuple[float, float]) -> tuple[Canvas, Sequence[Any]]:
    """Panels of one size in inches, row by row."""
    columns = min(COLUMNS, len(titles))
    rows = math.ceil(len(titles) / columns)
    canvas = Canvas(figsize=(size[0] * columns, size[1] * rows))
    every = canvas.subplots(rows, columns, squeeze=False).ravel()
    for axis in every[len(titles) :]:
        axis.remove()
    for axis, title in zip(every, titles, strict=False):
        axis.set_title(title)
    return canvas, list(every[: len(titles)])


def named_beside(
    axis: Any, points: Mapping[str, tuple[float, float]], shades: Mapping[str, str] | None = None
) -> None:
    """Write names in a column right of a panel, each as near its point as the others allow."""
    if not points:
        return
    axis.figure.draw_without_rendering()
    low, size = axis.transAxes.transform((0, 0))[1], axis.bbox.height
    order = sorted(points, key=lambda name: (points[name][1], -points[name][0]))
    wanted = [axis.transData.transform(points[name])[1] - low for name in order]
    steps = LINE * np.arange(len(order))
    free = isotonic_regression(np.array(wanted) - steps).x
    places = free.clip(0, max(0.0, size - steps[-1])) + steps
    for name, place in zip(order, places, strict=True):
        shade = (shades or {}).get(name, "#333333")
        axis.annotate(
            name, points[name], (1.03, place / size), textcoords="axes fraction", va="center",
            fontsize=7.5, color=shade,
            arrowprops={"arrowstyle": "-", "color": "#cccccc", "linewidth": 0.6, "shrinkB": 4,
                        "shrinkA": 1, "zorder": 0},
        )  # fmt: skip


def tall(least: float, names: int) -> float:
    """Height in inches of a panel beside which so many names are written."""
    return max(least, 0.9 + names * LINE / 100)
