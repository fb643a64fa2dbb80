"""The figure of several models beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.beside import REFERENCE, Beside
from reports.columns import suite_title
from reports.drawing import GREEN, GREY, panels
from reports.figures_quality import METHODS
from reports.plots import Figure, save, styled


def gains(found: Sequence[Beside], folder: Path) -> list[Figure]:
    """Every method's gain with its interval, a panel per model and suite."""
    shown = [(each, model) for each in found if each.tasks for model in each.gains]
    if not shown:
        return []
    with styled():
        height = 1.1 + 0.27 * max(len(each.methods) for each, _ in shown)
        titles = [f"{model}, {suite_title(each.suite)}" for each, model in shown]
        canvas, axes = panels(titles, (3.9, height))
        for axis, (each, model) in zip(axes, shown, strict=True):
            for place, method in enumerate(each.methods):
                if method not in each.gains[model]:
                    continue
                difference = each.gains[model][method].found
                shade = GREY if method == REFERENCE else METHODS.get(method, GREEN)
                axis.plot([difference.low, difference.high], [place, place], color=shade)
                axis.plot(difference.value, place, "o", color=shade, markersize=5)
            axis.axvline(0, color="#888888", linewidth=1)
            axis.set_yticks(range(len(each.methods)), each.methods)
            axis.set_ylim(len(each.methods) - 0.5, -0.5)
            axis.grid(axis="y", visible=False)
            axis.set_xlabel("gain over the baseline")
        svg, png = folder / "models.svg", folder / "models.png"
        folder.mkdir(parents=True, exist_ok=True)
        save(canvas, svg, png)
    caption = (
        "Gain over each model's own baseline, mean over the tasks that all models were asked; bars "
        "are 95 % intervals over documents."
    )
    return [Figure("models", "Methods by model", caption, svg, png)]
