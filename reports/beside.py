"""Several models beside each other: what methods gain on the tasks that all were asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.columns import Column, fixed, pair, signed, suite_title
from reports.comparison import Comparison
from reports.runs import asked_documents
from reports.stats import Difference
from reports.table import Row, Table

REFERENCE = "few_shot"
"""A prompting whose gain stands beside those of methods, without a rank."""


@dataclass(frozen=True)
class Gain:
    """What a method gains over the baseline on a model.

    Attributes:
        found: The difference over the common tasks.
        rank: Among the model's methods, 1 for the best; None for what is not ranked.
    """

    found: Difference
    rank: float | None = None


@dataclass(frozen=True)
class Beside:
    """Models on the tasks that all of them were asked, with the same documents.

    Attributes:
        suite: Name of the suite.
        tasks: The common tasks.
        left_out: Tasks that some model was not asked, or was asked other documents of.
        methods: Those with a gain on some model, and the few-shot prompting first.
        gains: By model and method.
        baselines: The baseline's value and name by model.
    """

    suite: str
    tasks: Sequence[str]
    left_out: Sequence[str]
    methods: Sequence[str]
    gains: Mapping[str, Mapping[str, Gain]]
    baselines: Mapping[str, tuple[float, str]]


def beside(comparisons: Mapping[str, Comparison], suite: str) -> Beside | None:
    """What every method gains on every model; None where fewer than two have the suite."""
    own = {name: each for name, each in comparisons.items() if suite in each.suites}
    if len(own) < 2:
        return None
    every = dict.fromkeys(task for each in own.values() for task in each.suites[suite])
    common = [
        task
        for task in every
        if len({_documents(each, task) for each in own.values()}) == 1
        and all(each.of(task, each.baseline(suite)) for each in own.values())
    ]
    gains = {
        name: _gains(each, suite, common, {REFERENCE: REFERENCE, **each.steered(suite)})
        for name, each in own.items()
    }
    return Beside(
        suite=suite,
        tasks=common,
        left_out=[task for task in every if task not in common],
        methods=sorted(
            {method for found in gains.values() for method in found},
            key=lambda method: (method != REFERENCE, method),
        ),
        gains=gains,
        baselines={
            name: (each.mean(each.baseline(suite), common), each.baseline(suite))
            for name, each in own.items()
            if common
        },
    )


def _documents(comparison: Comparison, task: str) -> tuple[tuple[int, str], ...]:
    """What a task asked; nothing where it was not measured."""
    records = [record for record in comparison.records if record.spec["task"] == task]
    return tuple(asked_documents(records[0])) if records else ()


def _gains(
    comparison: Comparison, suite: str, tasks: Sequence[str], arms: Mapping[str, str]
) -> dict[str, Gain]:
    if not tasks:
        return {}
    found = {
        method: comparison.difference(arm, comparison.baseline(suite), tasks=tasks)
        for method, arm in arms.items()
        if all(comparison.of(task, arm) for task in tasks)
    }
    ranked = [method for method in found if method != REFERENCE]
    cell = comparison.cell(comparison.baseline(suite), tasks)
    sign = -1 if cell is None or cell.higher_is_better else 1
    ranks = stats.rankdata([sign * found[method].value for method in ranked])
    places = dict(zip(ranked, ranks.tolist(), strict=True))
    return {method: Gain(each, places.get(method)) for method, each in found.items()}


def models_table(found: Beside) -> Table:
    """Models down, methods across: gain, interval and rank."""
    rows: list[Row] = []
    for name, gains in found.gains.items():
        value, baseline = found.baselines.get(name, (None, None))
        rows.append({"model": name, "baseline": baseline, "value": value, **gains})
    if rows and found.tasks:
        rows.append({"model": "mean over models", **_means(found)})
    columns = [
        Column("model", "model"), Column("baseline", "baseline"),
        Column("value", "its value", fixed()),
        *(Column(method, f"Δ {method}", _written) for method in found.methods),
    ]  # fmt: skip
    left = (
        " Left out, because some model was not asked them or was asked other documents of them: "
        f"{', '.join(found.left_out)}."
    )
    note = (
        "Gain over the model's baseline with its 95 % interval, mean over the common tasks "
        f"({', '.join(found.tasks) or 'there are none'}), and the method's rank on the model in "
        "brackets (1: the best). Intervals are over documents of these tasks; the last row says "
        "nothing about other models."
    )
    title = f"{suite_title(found.suite)}: models and methods"
    return Table(title, note + left * bool(found.left_out), columns, rows)


def _means(found: Beside) -> Row:
    """The mean gain and rank of the methods that every model has."""
    means: Row = {}
    for method in found.methods:
        every = [gains[method] for gains in found.gains.values() if method in gains]
        if len(every) == len(found.gains):
            ranks = [each.rank for each in every if each.rank is not None]
            rank = float(np.mean(ranks)) if ranks else None
            value = float(np.mean([each.found.value for each in every]))
            nan = math.nan
            means[method] = Gain(Difference(value, nan, nan, nan, 0, nan, nan, nan), rank)
    return means


def _written(gain: Gain) -> str:
    found = gain.found
    interval = "" if math.isnan(found.low) else f" {pair((found.low, found.high))}"
    return f"{signed(found.value)}{interval}" + ("" if gain.rank is None else f" ({gain.rank:.3g})")
