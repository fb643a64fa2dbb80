"""How much of a gain is left when the same is asked in other words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.columns import Column, fixed, pair, percent, signed, suite_title
from reports.comparison import Comparison
from reports.record import number
from reports.stats import Array, compare, mean_of_means
from reports.table import Row, Table

KEY = "templates"
"""Key of a document's headline values in the other wordings, in their order."""


def wordings_table(comparison: Comparison, suite: str) -> Table | None:
    """Each method's gain in the task's own words and in others; None where no others were asked."""
    baseline, rows = comparison.baseline(suite), list[Row]()
    asked = {
        arm: [task for task in comparison.suites[suite] if _number(comparison, task, arm)]
        for arm in comparison.arms
    }
    for arm, tasks in asked.items():
        own = [task for task in tasks if task in asked[baseline]] if baseline in asked else []
        if arm != baseline and own:
            rows.append({"arm": arm, **_row(comparison, arm, baseline, own)})
    if not rows:
        return None
    better = comparison.rises(comparison.suites[suite])
    columns = [
        Column("arm", "arm"), Column("tasks", "tasks", fixed(0)),
        Column("number", "wordings", fixed(0)), Column("gain", "gain", signed, better),
        Column("others", "gain in others", signed, better),
        Column("interval", "95 % interval", pair),
        Column("worst", "in the worst", signed, better), Column("left", "left", percent),
    ]  # fmt: skip
    note = (
        f"Gain over {baseline} of the headline metric, both asked in the same words: in the "
        "task's own, for which settings were chosen and vectors fitted, and in others (mean over "
        "wordings, paired by document). left: the second over the first, a dash where the first's "
        "interval includes 0."
    )
    return Table(f"{suite_title(suite)}: in other words", note, columns, rows)


def _row(comparison: Comparison, arm: str, baseline: str, tasks: Sequence[str]) -> Row:
    groups = [_values(comparison, t, arm) - _values(comparison, t, baseline) for t in tasks]
    own = comparison.difference(arm, baseline, tasks=tasks)
    others = compare(comparison.strata(tasks, [group.mean(axis=0) for group in groups]))
    number = min(len(group) for group in groups)
    by_wording = [
        mean_of_means(comparison.strata(tasks, [group[place] for group in groups]))
        for place in range(number)
    ]
    clear = own.low > 0 or own.high < 0
    return {
        "tasks": len(tasks), "number": number, "gain": own.value, "others": others.value,
        "interval": (others.low, others.high),
        "worst": (min if comparison.rises(tasks) else max)(by_wording),
        "left": others.value / own.value if clear else None,
    }  # fmt: skip


def _values(comparison: Comparison, task: str, arm: str) -> Array:
    """The headline in each other wording (w, n): mean over fits, documents by their ids."""
    count = _number(comparison, task, arm)
    found = [
        [
            [number(value) for value in sample[KEY][:count]]
            for sample in sorted(record.samples, key=lambda s: int(s["doc_id"]))
        ]
        for record in comparison.of(task, arm)
    ]
    values: Array = np.array(found, dtype=np.float64).mean(axis=0)
    return values.T


def _number(comparison: Comparison, task: str, arm: str) -> int:
    """In how many other wordings every document of an arm was asked."""
    samples = [sample for record in comparison.of(task, arm) for sample in record.samples]
    return min((len(sample.get(KEY) or ()) for sample in samples), default=0)
