"""Figures of how methods behave, from what tuning and fits recorded: layers, strength, heads."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter

from reports.columns import suite_title
from reports.comparison import Comparison
from reports.record import Record, number

Made = tuple[Canvas, str, str]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def _tuned(comparison: Comparison) -> Iterator[tuple[str, str, Record]]:
    """(method, suite, record) of every arm that was tuned for itself."""
    for record in comparison.records:
        own = record.tuning and not record.spec["arm"].get("matched") and "@" not in record.arm
        if own:
            yield record.arm, record.spec["suite"], record


def _trials(record: Record) -> list[dict[str, Any]]:
    tuning = record.tuning or {}
    return [trial for trial in tuning["trials"] if trial["score"] is not None]


def layers(comparison: Comparison) -> Made | None:
    """Mean validation score by layer and coefficient."""
    cells: dict[tuple[str, str], dict[tuple[int, float], list[float]]] = {}
    for method, suite, record in _tuned(comparison):
        for trial in _trials(record):
            layer, coefficient = (
                number(trial["settings"].get(name)) for name in ("layer", "coefficient")
            )
            if math.isfinite(layer + coefficient):
                place = int(layer), coefficient
                cells.setdefault((method, suite), {}).setdefault(place, []).append(trial["score"])
    if not cells:
        return None
    canvas = Canvas(figsize=(3.8 * len(cells), 3.2))
    axes = canvas.subplots(1, len(cells), squeeze=False)[0]
    for axis, ((method, suite), found) in zip(axes, cells.items(), strict=True):
        rows = sorted({layer for layer, _ in found})
        columns = sorted({coefficient for _, coefficient in found})
        grid = np.full((len(rows), len(columns)), np.nan)
        for (layer, coefficient), scores in found.items():
            grid[rows.index(layer), columns.index(coefficient)] = np.mean(scores)
        _heat(axis, grid)
        axis.set_xticks(range(len(columns)), [f"{c:g}" for c in columns])
        axis.set_yticks(range(len(rows)), rows)
        axis.set_title(f"{method}, {suite_title(suite)}")
        axis.set_xlabel("coefficient")
        axis.set_ylabel("layer")
    caption = (
        "Mean validation score of the configurations that tuning tried, over tasks and the other "
        "settings; empty cells were not drawn."
    )
    return canvas, "Layer and coefficient", caption


def _heat(axis: Any, grid: np.ndarray[Any, Any]) -> None:
    axis.imshow(grid, cmap="viridis", aspect="auto", vmin=0, vmax=max(1e-9, np.nanmax(grid)))
    axis.grid(visible=False)
    middle = np.nanmax(grid) * 0.6
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            axis.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=8,
                color="black" if value > middle else "white",
            )  # fmt: skip


def coefficients(comparison: Comparison) -> Made | None:
    """Mean validation score by coefficient, one line per method, one panel per suite."""
    scores: dict[str, dict[str, dict[float, list[list[float]]]]] = {}
    for method, suite, record in _tuned(comparison):
        found = scores.setdefault(suite, {}).setdefault(method, defaultdict(list))
        for coefficient, reached in _by_coefficient(record).items():
            found[coefficient].append(reached)
    if not any(found for methods in scores.values() for found in methods.values()):
        return None
    canvas = Canvas(figsize=(3.9 * len(scores), 3.1))
    axes = canvas.subplots(1, len(scores), squeeze=False, sharey=True)[0]
    for axis, (suite, methods) in zip(axes, scores.items(), strict=True):
        for place, (method, found) in enumerate(sorted(methods.items())):
            xs = sorted(found)
            best = [np.mean([max(task) for task in found[x]]) for x in xs]
            mean = [np.mean([np.mean(task) for task in found[x]]) for x in xs]
            shade = COLOURS[place % len(COLOURS)]
            axis.plot(xs, mean, "o-", color=shade, label=f"{method}, mean", markersize=4)
            axis.plot(xs, best, "^:", color=shade, label=f"{method}, best", markersize=4)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(suite_title(suite))
        axis.set_xlabel("coefficient (log scale)")
    axes[0].set_ylabel("validation score")
    axes[-1].legend(fontsize=7.5, frameon=False)
    caption = (
        "Validation score of the configurations that tuning tried, by coefficient: on each task "
        "the mean and the best over the other settings, then the mean over tasks. Coefficients of "
        "different methods have different units."
    )
    return canvas, "Response to the coefficient", caption


def _by_coefficient(record: Record) -> dict[float, list[float]]:
    """Scores of a search by coefficient, where the method has one."""
    found: dict[float, list[float]] = defaultdict(list)
    for trial in _trials(record):
        coefficient = number(trial["settings"].get("coefficient"))
        if coefficient > 0:  # the axis is logarithmic
            found[coefficient].append(trial["score"])
    return found


def heads(comparison: Comparison) -> Made | None:
    """Mean effect of every head, and how often each was chosen."""
    effects: dict[str, list[Any]] = defaultdict(list)
    chosen: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for _, suite, record in _tuned(comparison):
        facts = (record.fit or {}).get("provenance") or {}
        grid = np.array(facts.get("effects") or [], dtype=float)
        if grid.size and grid.shape == np.shape((effects[suite] or [grid])[0]):
            effects[suite].append(grid)
            chosen[suite].update((layer, head) for layer, head in facts.get("heads") or ())
    if not effects:
        return None
    canvas = Canvas(figsize=(3.9 * len(effects), 3.3))
    axes = canvas.subplots(1, len(effects), squeeze=False)[0]
    for axis, (suite, found) in zip(axes, effects.items(), strict=True):
        grid = np.mean(np.array(found, dtype=float), axis=0)
        bound = max(1e-9, float(np.abs(grid).max()))
        image = axis.imshow(grid, cmap="PuOr", vmin=-bound, vmax=bound, aspect="auto")
        canvas.colorbar(image, ax=axis, shrink=0.9)
        axis.grid(visible=False)
        for (layer, head), times in chosen[suite].items():
            axis.plot(
                head, layer, "o", markersize=3 + 9 * times / len(found), markeredgecolor="#009E73",
                markerfacecolor="none",
            )  # fmt: skip
        axis.set_title(suite_title(suite))
        axis.set_xlabel("head")
        axis.set_ylabel("layer")
        axis.set_xticks(range(0, grid.shape[1], max(1, grid.shape[1] // 8)))
        axis.set_yticks(range(0, grid.shape[0], max(1, grid.shape[0] // 8)))
    caption = (
        "Average indirect effect on the answer's probability when a head's mean activation is put "
        "into prompts with shuffled labels, mean over tasks. Rings: heads in the function vector, "
        "the larger the more tasks chose them."
    )
    return canvas, "Which heads carry the task", caption
