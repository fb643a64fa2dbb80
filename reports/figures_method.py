"""Figures of what methods are made of, from what fits recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from reports.columns import suite_title
from reports.comparison import Comparison
from reports.drawing import Made, panels
from reports.trials import tuned


def heads(comparison: Comparison) -> Made | None:
    """Mean effect of every head, and how often each was chosen."""
    effects: dict[tuple[str, str], list[Any]] = defaultdict(list)
    chosen: dict[tuple[str, str], Counter[tuple[int, int]]] = defaultdict(Counter)
    for record in tuned(comparison):
        own = (record.arm, comparison.suite_of(record.spec["task"]))
        facts = (record.fit or {}).get("provenance") or {}
        grid = np.array(facts.get("effects") or [], dtype=float)
        if grid.size and grid.shape == np.shape((effects[own] or [grid])[0]):
            effects[own].append(grid)
            chosen[own].update((layer, head) for layer, head in facts.get("heads") or ())
    if not effects:
        return None
    canvas, axes = panels([f"{arm}, {suite_title(suite)}" for arm, suite in effects], (3.9, 3.3))
    for axis, (own, found) in zip(axes, effects.items(), strict=True):
        grid = np.mean(np.array(found, dtype=float), axis=0)
        bound = max(1e-9, float(np.abs(grid).max()))
        image = axis.imshow(grid, cmap="PuOr", vmin=-bound, vmax=bound, aspect="auto")
        canvas.colorbar(image, ax=axis, shrink=0.9)
        axis.grid(visible=False)
        for (layer, head), times in chosen[own].items():
            axis.plot(
                head, layer, "o", markersize=3 + 9 * times / len(found), markeredgecolor="#009E73",
                markerfacecolor="none",
            )  # fmt: skip
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
