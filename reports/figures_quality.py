"""Figures of what arms reach: overview, per task, attribute against content, and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from reports.claim import DUEL
from reports.columns import arrow, of_any_size, suite_title
from reports.comparison import Comparison
from reports.costs import arm_cost
from reports.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, Made, named_beside, tall
from reports.stats import Difference, interval, pareto_front

METHODS = {"fv": BLUE, "icv": ORANGE}


def colour(comparison: Comparison, arm: str) -> str:
    """One colour per kind of arm: promptings grey, fv blue, icv orange, other methods green."""
    spec = next(record.spec["arm"] for record in comparison.records if record.arm == arm)
    if not spec["method"]:
        return GREY
    if spec.get("matched"):
        return PURPLE
    return METHODS.get(str(spec["method"]), GREEN)


def _axes(panels: int, width: float, height: float, **options: Any) -> tuple[Canvas, Sequence[Any]]:
    canvas = Canvas(figsize=(width, height))
    return canvas, canvas.subplots(1, panels, squeeze=False, **options)[0]


def overview(comparison: Comparison) -> Made | None:
    """Every arm's headline value with its interval, one panel per suite."""
    suites, arms = list(comparison.suites), comparison.arms
    canvas, axes = _axes(len(suites), 1.6 + 3.2 * len(suites), 0.9 + 0.27 * len(arms), sharey=True)
    for axis, suite in zip(axes, suites, strict=True):
        tasks, within = comparison.suites[suite], True
        metrics = sorted({comparison.headline(task) for task in tasks})
        for place, arm in enumerate(arms):
            cell = comparison.cell(arm, tasks)
            if cell is None:
                continue
            rng = np.random.default_rng(0)
            groups = [
                comparison.documents(task, arm, comparison.headline(task)).mean(axis=0)
                for task in tasks
            ]
            low, high = interval(comparison.strata(tasks, groups), rng=rng)
            within &= low >= 0 and high <= 1
            shade = colour(comparison, arm)
            axis.plot([low, high], [place, place], color=shade, linewidth=2, solid_capstyle="butt")
            axis.plot(cell.value, place, "o", color=shade, markersize=6)
            axis.annotate(
                of_any_size(cell.value), (high, place), (5, 0), textcoords="offset points",
                va="center", fontsize=8, color="#444444",
            )  # fmt: skip
        baseline = comparison.cell(comparison.baseline(suite), tasks)
        if baseline is not None:
            axis.axvline(baseline.value, color="#bbbbbb", linewidth=1, linestyle="--", zorder=0)
        better = arrow(comparison.rises(tasks))
        axis.set_title(f"{suite_title(suite)} ({' / '.join(metrics)} {better})")
        if within:
            axis.set_xlim(-0.02, 1.12)
            axis.set_xticks(np.linspace(0, 1, 6))
        else:
            axis.margins(x=0.2)
            axis.locator_params(axis="x", nbins=4)
        axis.set_yticks(range(len(arms)), arms)
        axis.grid(axis="y", visible=False)
    axes[0].invert_yaxis()
    baselines = dict.fromkeys(comparison.baseline(suite) for suite in suites)
    caption = (
        f"Mean of the headline metric over the tasks of a suite; bars are 95 % bootstrap intervals "
        f"over documents. Dashed: {' / '.join(baselines)}. Grey: prompting; blue: fv; orange: icv; "
        "green: other methods; purple: controls matched to a method."
    )
    return canvas, "Every arm by suite", caption


def tasks(comparison: Comparison) -> Made | None:
    """The difference between the two methods, task by task; a panel of its own for each scale."""
    shown = {suite: _duels(comparison, tasks) for suite, tasks in comparison.suites.items()}
    shown = {suite: lines for suite, lines in shown.items() if lines}
    if not shown:
        return None
    ends = [abs(end) for lines in shown.values() for _, d in lines for end in (d.low, d.high)]
    panels = [list(shown)] if max(ends) <= 1 else [[suite] for suite in shown]
    heights = [0.8 + 0.24 * sum(len(shown[s]) + 1 for s in suites) for suites in panels]
    canvas = Canvas(figsize=(6.4, sum(heights)))
    ratios = {"height_ratios": heights}
    axes = canvas.subplots(len(panels), 1, squeeze=False, gridspec_kw=ratios)[:, 0]
    for axis, suites in zip(axes, panels, strict=True):
        _draw_duels(axis, {suite: shown[suite] for suite in suites})
    caption = (
        "Difference of the headline metric, paired by document, with its 95 % BCa interval; blue "
        "and orange where the interval excludes 0."
    )
    return canvas, f"{DUEL[0]} against {DUEL[1]}, task by task", caption


def _duels(comparison: Comparison, tasks: Sequence[str]) -> list[tuple[str, Difference]]:
    """The difference on each task that has both methods, and last their mean."""
    both = [task for task in tasks if all(comparison.of(task, arm) for arm in DUEL)]
    lines = [(task, comparison.difference(*DUEL, tasks=[task])) for task in both]
    whole = comparison.difference(*DUEL, tasks=both) if both else None
    return [*lines, ("mean", whole)] if whole else []


def _draw_duels(axis: Any, suites: Mapping[str, Sequence[tuple[str, Difference]]]) -> None:
    place, ticks, labels = 0.0, list[float](), list[str]()
    for suite, lines in suites.items():
        for number, (label, found) in enumerate(lines, start=1):
            mean = number == len(lines)  # a task may have that name
            shade = BLUE if found.low > 0 else ORANGE if found.high < 0 else GREY
            axis.plot([found.low, found.high], [place, place], color=shade, linewidth=2)
            axis.plot(found.value, place, "D" if mean else "o", color=shade, markersize=6)
            ticks.append(place)
            labels.append(f"{suite_title(suite)}: mean" if mean else label)
            place += 1
        place += 0.8
    axis.axvline(0, color="#888888", linewidth=1)
    axis.set_yticks(ticks, labels)
    for text, label in zip(axis.get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if label.endswith(": mean") else "normal")
    axis.set_ylim(max(ticks) + 0.7, -0.7)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(f"{DUEL[1]} higher   ←   {DUEL[0]} − {DUEL[1]}   →   {DUEL[0]} higher")


def pareto(comparison: Comparison) -> Made | None:
    """Whether an arm reaches the attribute at the price of content and fluency."""
    needed = ("attribute", "content", "fluency")
    suites = {
        suite: tasks
        for suite, tasks in comparison.suites.items()
        if all(set(needed) <= set(comparison.metrics(task)) for task in tasks)
    }
    if not suites:
        return None
    canvas, axes = _axes(len(suites), 5.6 * len(suites), tall(3.8, len(comparison.arms)))
    for axis, (suite, members) in zip(axes, suites.items(), strict=True):
        points = {}
        for arm in comparison.arms:
            if all(comparison.of(task, arm) for task in members):
                points[arm] = (_kept(comparison, arm, members), _mean(comparison, arm, members))
        front = sorted(points[arm] for arm in pareto_front(points))
        axis.plot(*zip(*front, strict=True), color="#bbbbbb", linewidth=1, zorder=1)
        for arm, (x, y) in points.items():
            axis.plot(x, y, "o", color=colour(comparison, arm), markersize=7, zorder=2)
        axis.set_title(suite_title(suite))
        axis.set_xlabel("content × fluency (mean of the product per document)")
        axis.set_ylabel("attribute")
        axis.margins(0.1)
        named_beside(axis, points)
    caption = (
        "Up and to the right is better. Grey line: arms that no other arm beats on both. An arm "
        "high on the left changes the attribute by breaking the text."
    )
    return canvas, "Attribute against content and fluency", caption


def _kept(comparison: Comparison, arm: str, tasks: Sequence[str]) -> float:
    values = [
        (
            comparison.documents(task, arm, "content") * comparison.documents(task, arm, "fluency")
        ).mean()
        for task in tasks
    ]
    return float(np.mean(values))


def _mean(comparison: Comparison, arm: str, tasks: Sequence[str]) -> float:
    return float(np.mean([comparison.documents(t, arm, "attribute").mean() for t in tasks]))


def cost(comparison: Comparison) -> Made | None:
    """What quality costs per document."""
    suites = list(comparison.suites)
    canvas, axes = _axes(len(suites), 4.6 * len(suites), tall(3.8, len(comparison.arms)))
    for axis, suite in zip(axes, suites, strict=True):
        members, points = comparison.suites[suite], {}
        for arm in comparison.arms:
            cell, spent = comparison.cell(arm, members), arm_cost(comparison, arm, members)
            if cell is not None and spent["ms_per_doc"]:
                points[arm] = (float(np.log10(spent["ms_per_doc"])), cell.value)
        for arm, (x, y) in points.items():
            axis.plot(x, y, "o", color=colour(comparison, arm), markersize=7)
        metrics = sorted({comparison.headline(task) for task in members})
        axis.set_title(f"{suite_title(suite)} ({' / '.join(metrics)})")
        axis.set_xlabel("evaluation, ms per document")
        if not comparison.rises(members):
            axis.invert_yaxis()
        axis.margins(0.1)
        low, high = axis.get_xlim()
        nice = [v for v in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
                if low <= np.log10(v) <= high]  # fmt: skip
        axis.set_xticks(np.log10(nice), [f"{v:g}" for v in nice])
        named_beside(axis, points)
    axes[0].set_ylabel("headline metric")
    caption = (
        "Up and to the left is better; the axis of a metric that is better when lower points down. "
        "The horizontal axis is logarithmic; fitting and tuning are not in it (see the cost table)."
    )
    return canvas, "Quality against cost", caption
