"""The figure of side effects."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from reports.columns import arrow
from reports.comparison import Comparison
from reports.drawing import Made
from reports.figures_quality import colour
from reports.side import EVERY, PLAIN, sides


def side(comparison: Comparison) -> Made | None:
    """What every arm changes on each side task, one panel per task."""
    found = sides(comparison)
    if found is None:
        return None
    several = any(task == EVERY for _, task, _ in found.rows)
    rows = [(arm, task) for arm, task, _ in found.rows if task == EVERY or not several]
    canvas = Canvas(figsize=(1.8 + 2.7 * len(found.tasks), 1.2 + 0.28 * len(rows)))
    axes = canvas.subplots(1, len(found.tasks), squeeze=False, sharey=True)[0]
    for axis, task in zip(axes, found.tasks, strict=True):
        for place, (arm, made_for) in enumerate(rows):
            change = found.difference(arm, made_for, task)
            if change is None:
                continue
            shade = colour(comparison, arm)
            axis.plot([change.low, change.high], [place, place], color=shade, linewidth=2)
            axis.plot(change.value, place, "o", color=shade, markersize=6)
        axis.axvline(0, color="#888888", linewidth=1)
        cell = found.pooled.cell(PLAIN, [task])
        better = f" {arrow(cell.higher_is_better)}" if cell else ""
        axis.set_title(f"{task}\n{found.pooled.headline(task)}{better}", fontsize=8)
        axis.set_yticks(range(len(rows)), [arm for arm, _ in rows])
        axis.grid(axis="y", visible=False)
        axis.locator_params(axis="x", nbins=4)
        if max(map(abs, axis.dataLim.intervalx)) < 1e-9:  # no change: its scale would be rounding
            axis.set_xlim(-0.1, 0.1)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    caption = (
        "Change of each side task's headline metric under the vectors that were tuned for other "
        "tasks, paired by document, with its 95 % BCa interval; the line is the unsteered model, "
        "the arrow says where better lies."
    )
    return canvas, "Side effects", caption
