"""What tuning chose, how results answer to the coefficient, and what seeds change."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.columns import Column, fixed, percent, seconds, signed, suite_title
from reports.comparison import Comparison
from reports.record import number
from reports.stats import steerability, variance_parts
from reports.table import Row, Table


def settings_table(comparison: Comparison) -> Table:
    """What the tuning chose, on which validation score."""
    rows: list[Row] = []
    for record in sorted(comparison.records, key=lambda r: (r.spec["task"], r.arm, r.spec["seed"])):
        if record.tuning is None or record.spec["arm"].get("matched") or "@" in record.arm:
            continue
        scores = [t["score"] for t in record.tuning["trials"] if t["score"] is not None]
        better = max if record.tuning["higher_is_better"] else min
        chosen = ", ".join(f"{k}={v}" for k, v in record.tuning["chosen"].items())
        rows.append(
            {
                "task": record.spec["task"], "arm": record.arm, "seed": record.spec["seed"],
                "chosen": chosen, "validation": better(scores, default=None),
                "tried": len(record.tuning["trials"]),
                "documents": record.tuning["documents"], "tune_s": record.timings.get("tune_s"),
                "slope": _slope(record.tuning["trials"]),
            }
        )  # fmt: skip
    columns = [
        Column("task", "task"), Column("arm", "arm"), Column("seed", "seed", fixed(0)),
        Column("chosen", "chosen settings"), Column("validation", "validation", fixed()),
        Column("documents", "documents", fixed(0)), Column("tried", "tried", fixed(0)),
        Column("slope", "steerability", signed), Column("tune_s", "tuning s", seconds, False),
    ]  # fmt: skip
    note = (
        "Every method gets the same number of configurations, scored on the validation split. "
        "steerability: slope of that score over the coefficient, by least squares over them all."
    )
    return Table("Chosen settings", note, columns, rows)


def _slope(trials: Sequence[Row]) -> float | None:
    found = [
        (number(trial["settings"].get("coefficient")), trial["score"])
        for trial in trials
        if trial["score"] is not None
        and math.isfinite(number(trial["settings"].get("coefficient")))
    ]
    if len({coefficient for coefficient, _ in found}) < 2:
        return None
    return steerability([c for c, _ in found], [score for _, score in found])


def seeds_table(comparison: Comparison, suite: str) -> Table | None:
    """How much of an arm's uncertainty comes from its fits and how much from the documents."""
    tasks = comparison.suites[suite]
    rows: list[Row] = []
    for arm in comparison.arms:
        cell = comparison.cell(arm, tasks)
        if cell is None or cell.seeds < 2:
            continue
        parts = [
            variance_parts(comparison.documents(task, arm, comparison.headline(task)))
            for task in tasks
        ]
        fits, documents = (sum(column) / len(tasks) ** 2 for column in zip(*parts, strict=True))
        total = fits + documents
        rows.append(
            {
                "arm": arm, "value": cell.value, "seeds": cell.seeds, "fits": fits**0.5,
                "documents": documents**0.5, "share": fits / total if total else None,
            }
        )  # fmt: skip
    if not rows:
        return None
    columns = [
        Column("arm", "arm"), Column("value", "mean", fixed()), Column("seeds", "seeds", fixed(0)),
        Column("fits", "sd of one seed", fixed()), Column("documents", "sd of documents", fixed()),
        Column("share", "share of seeds", percent),
    ]  # fmt: skip
    note = (
        "Where the uncertainty of the suite's mean comes from: another seed (demonstrations, fit, "
        "choice of configurations), free of document noise, and other documents."
    )
    return Table(f"{suite_title(suite)}: seeds and documents", note, columns, rows)
