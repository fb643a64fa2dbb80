"""Figures of how methods answer to their settings, from what searches recorded."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from reports.columns import of_any_size, suite_title
from reports.comparison import Comparison
from reports.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, Made, named_beside, panels, tall
from reports.record import number
from reports.trials import best, curve, inside, strength, tuned

LOOKS = [(colour, style) for style in ("-", "--", ":") for colour in (BLUE, ORANGE, GREEN, PURPLE)]
"""Colours and strokes of lines that share a panel; with more of them they come again."""

FEW = 12
"""Distinct strengths that are shown as they are; more are drawn from a range, and are grouped."""

LEGIBLE = 14
"""Layers of a map whose cells are labelled."""


def search(comparison: Comparison) -> Made | None:
    """The best validation score so far, one line per method, one panel per suite."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for record in tuned(comparison):
        methods = found.setdefault(comparison.suite_of(record.spec["task"]), {})
        methods.setdefault(record.arm, []).append(curve(record))
    if not any(len(own) > 1 for lines in found.values() for arm in lines.values() for own in arm):
        return None
    height = tall(3.1, max(map(len, found.values())))
    canvas, axes = panels([suite_title(suite) for suite in found], (4.6, height))
    for axis, methods in zip(axes, found.values(), strict=True):
        _doubling(axis, "configurations")
        ends: dict[str, tuple[float, float]] = {}
        shades: dict[str, str] = {}
        for place, (method, lines) in enumerate(sorted(methods.items())):
            length = max(map(len, lines))
            whole = [line + line[-1:] * (length - len(line)) for line in lines if line]
            mean = np.mean(np.array(whole), axis=0)  # undefined until every task has a score
            shades[method], style = LOOKS[place % len(LOOKS)]
            axis.plot(
                range(1, length + 1), mean, color=shades[method], linestyle=style,
                drawstyle="steps-post",
            )  # fmt: skip
            if not np.isnan(mean[-1]):
                ends[method] = (length, float(mean[-1]))
        named_beside(axis, ends, shades)
    axes[0].set_ylabel("best validation score so far")
    caption = (
        "What more configurations bring: the best validation score so far, mean over tasks and "
        "fits. The first configuration is the method's published one. A line that still moves at "
        "its end asks for a larger budget."
    )
    return canvas, "What the search finds", caption


def layers(comparison: Comparison) -> Made | None:
    """Best validation score by layer and coefficient."""
    cells: dict[tuple[str, str], dict[tuple[int, float], list[float]]] = {}
    groups = _grouping(comparison, 1)
    for record in tuned(comparison):
        own: dict[tuple[int, float], list[Any]] = defaultdict(list)
        for trial in inside(record):
            layer, coefficient = number(trial["settings"].get("layer")), strength(trial)
            if math.isfinite(layer + coefficient):
                own[int(layer), groups[record.arm](coefficient)].append(trial)
        suite = comparison.suite_of(record.spec["task"])
        found = cells.setdefault((record.arm, suite), {}) if own else {}
        for place, trials in own.items():
            found.setdefault(place, []).append(best(record, trials))
    if not cells:
        return None
    canvas, axes = panels([f"{arm}, {suite_title(suite)}" for arm, suite in cells], (4.2, 3.2))
    for axis, found in zip(axes, cells.values(), strict=True):
        rows = sorted({layer for layer, _ in found})
        columns = sorted({coefficient for _, coefficient in found})
        grid = np.full((len(rows), len(columns)), np.nan)
        for (layer, coefficient), scores in found.items():
            grid[rows.index(layer), columns.index(coefficient)] = np.mean(scores)
        _heat(axis, grid)
        axis.set_xticks(range(len(columns)), [f"{c:.3g}" for c in columns], fontsize=7)
        axis.set_yticks(range(len(rows)), rows)
        axis.set_xlabel("coefficient")
        axis.set_ylabel("layer")
    caption = (
        "Validation score by layer and coefficient: on each task the best of the configurations "
        "that tuning tried there (coefficients to the nearest power of two), then the mean over "
        "the tasks that have some; empty cells were not drawn. The published settings are left out "
        "where their coefficient has another unit."
    )
    return canvas, "Layer and coefficient", caption


def _heat(axis: Any, grid: np.ndarray[Any, Any]) -> None:
    low, high = min(0.0, float(np.nanmin(grid))), float(np.nanmax(grid))
    high = max(high, low + 1e-9)
    axis.imshow(grid, cmap="viridis", aspect="auto", vmin=low, vmax=high)
    axis.grid(visible=False)
    if len(grid) > LEGIBLE:
        axis.tick_params(axis="y", labelsize=6)
    middle = low + (high - low) * 0.6
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            axis.text(
                column, row, of_any_size(value).removeprefix("0"), ha="center", va="center",
                fontsize=8 if len(grid) <= LEGIBLE else 5,
                color="black" if value > middle else "white",
            )  # fmt: skip


def coefficients(comparison: Comparison) -> Made | None:
    """Validation score by coefficient, a panel per method and suite."""
    scores: dict[tuple[str, str], dict[float, list[list[float]]]] = {}
    groups = _grouping(comparison, 2)
    for record in tuned(comparison):
        own: dict[float, list[float]] = defaultdict(list)
        for trial in inside(record):
            if strength(trial) > 0:  # the axis is logarithmic
                own[groups[record.arm](strength(trial))].append(float(trial["score"]))
        suite = comparison.suite_of(record.spec["task"])
        for coefficient, reached in own.items():
            found = scores.setdefault((record.arm, suite), defaultdict(list))
            found[coefficient].append(reached)
    if not scores:
        return None
    titles = [f"{arm}, {suite_title(suite)}" for arm, suite in scores]
    canvas, axes = panels(titles, (2.7, 2.2))
    for axis, ((_, suite), found) in zip(axes, scores.items(), strict=True):
        _doubling(axis, "coefficient")
        better = max if comparison.rises(comparison.suites[suite]) else min
        xs = sorted(found)
        top = [np.mean([better(task) for task in found[x]]) for x in xs]
        mean = [np.mean([np.mean(task) for task in found[x]]) for x in xs]
        axis.plot(xs, mean, "o-", color=GREY, label="mean", markersize=4)
        axis.plot(xs, top, "^:", color=BLUE, label="best", markersize=4)
    axes[0].set_ylabel("validation score")
    axes[0].legend(fontsize=7.5, frameon=False)
    caption = (
        "Validation score of the configurations that tuning tried, by coefficient (to the nearest "
        "half power of two): on each task the mean and the best over the other settings, then "
        "the mean over tasks. Coefficients of different methods have different units; the "
        "published settings are left out where theirs is another than the search's."
    )
    return canvas, "Response to the coefficient", caption


def _doubling(axis: Any, what: str) -> None:
    """What lies below a panel is on a log scale."""
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(f"{what} (log scale)")


def _grouping(comparison: Comparison, parts: int) -> dict[str, Callable[[float], float]]:
    """By arm, what strengths are shown at: parts of powers of two where they are many."""
    every: dict[str, set[float]] = defaultdict(set)
    for record in tuned(comparison):
        every[record.arm] |= {strength(trial) for trial in inside(record)}
    return {arm: _rounded(parts) if _many(found) else float for arm, found in every.items()}


def _many(strengths: Iterable[float]) -> bool:
    return len([c for c in strengths if not math.isnan(c)]) > FEW


def _rounded(parts: int) -> Callable[[float], float]:
    def nearest(value: float) -> float:
        size = 2.0 ** (round(parts * math.log2(abs(value))) / parts) if value else 0.0
        return math.copysign(size, value)

    return nearest
