"""The figure of several models beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure as Canvas

from reports.beside import REFERENCE, Beside
from reports.columns import suite_title
from reports.figures_quality import GREEN, GREY, METHODS
from reports.figures_search import COLOURS
from reports.plots import Figure, save, styled


def gains(found: Sequence[Beside], folder: Path) -> list[Figure]:
    """Every method's gain on every model with its interval, one panel per suite."""
    shown = [each for each in found if each.tasks]
    if not shown:
        return []
    with styled():
        models = max(len(each.gains) for each in shown)
        canvas = Canvas(figsize=(1.8 + 3.6 * len(shown), 1.2 + 0.5 * models))
        axes = canvas.subplots(1, len(shown), squeeze=False)[0]
        for axis, each in zip(axes, shown, strict=True):
            for number, method in enumerate(each.methods):
                axis.plot([], [], "o", color=_shade(method, number), label=method)
            for place, own in enumerate(each.gains.values()):
                for number, method in enumerate(each.methods):
                    if method not in own:
                        continue
                    difference = own[method].found
                    at = place + 0.5 * (number / len(each.methods) - 0.4)
                    shade = _shade(method, number)
                    axis.plot([difference.low, difference.high], [at, at], color=shade)
                    axis.plot(difference.value, at, "o", color=shade, markersize=5)
            axis.axvline(0, color="#888888", linewidth=1)
            axis.set_yticks(range(len(each.gains)), list(each.gains))
            axis.invert_yaxis()
            axis.set_title(suite_title(each.suite))
            axis.set_xlabel("gain over the baseline")
        axes[-1].legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        svg, png = folder / "models.svg", folder / "models.png"
        folder.mkdir(parents=True, exist_ok=True)
        save(canvas, svg, png)
    caption = (
        "Gain over each model's own baseline, mean over the tasks that all models were asked; bars "
        "are 95 % intervals over documents."
    )
    return [Figure("models", "Methods by model", caption, svg, png)]


def _shade(method: str, number: int) -> str:
    if method == REFERENCE:
        return GREY
    return METHODS.get(method) or (GREEN, *COLOURS[3:], "#E69F00", "#56B4E9")[number % 4]
