"""What arms cost, beside what they reach."""

from __future__ import annotations

from collections.abc import Sequence

from reports.columns import Column, fixed, percent, ratio, seconds, size, suite_title
from reports.comparison import BASELINE, Comparison
from reports.record import Record
from reports.table import Row, Table


def cost_table(comparison: Comparison) -> Table:
    """Quality and cost of every arm in one place, over all tasks."""
    rows: list[Row] = []
    for arm in comparison.arms:
        row: Row = {"arm": arm}
        for suite, tasks in comparison.suites.items():
            cell = comparison.cell(arm, tasks)
            row[suite] = None if cell is None else cell.value
        tasks = [t for ts in comparison.suites.values() for t in ts if comparison.of(t, arm)]
        rows.append({**row, **arm_cost(comparison, arm, tasks)})
    suites = [Column(s, suite_title(s), fixed(), True) for s in comparison.suites]
    columns = [
        Column("arm", "arm"), *suites,
        Column("fit_s", "fit s", seconds, False), Column("tune_s", "tuning s", seconds, False),
        Column("ms_per_doc", "ms/doc", fixed(2), False),
        Column("overhead", f"cost/{BASELINE}", ratio, False),
        Column("kl", "dose (nats)", fixed(3)), Column("shift", "shift", percent),
        Column("bytes", "vector", size, False),
        Column("peak_memory_bytes", "peak memory", size, False),
    ]  # fmt: skip
    note = (
        "fit and tuning seconds are summed over tasks and are those of a fit on its own, work "
        "shared with other arms included; ms/doc is answering and scoring alone, without "
        "rendering prompts or proving that steering acts, from passes over all tasks of a kind. "
        "dose: mean KL from the unsteered model on neutral text; shift: relative change of the "
        "residual stream there. The vector's size is that of one task; peak memory is the "
        "process's so far."
    )
    return Table("Quality and cost", note, columns, rows)


def arm_cost(comparison: Comparison, arm: str, tasks: Sequence[str]) -> Row:
    """What an arm cost over some tasks: seconds are summed over tasks, averaged over fits."""
    records = [record for task in tasks for record in comparison.of(task, arm)]
    baseline = [record for task in tasks for record in comparison.of(task, BASELINE)]
    fits = max(1, len({record.spec["seed"] for record in records}))
    per_document = _per_document(records)
    plain = _per_document(baseline)
    return {
        "fit_s": _total(records, "fit_s", fits),
        "tune_s": _total(records, "tune_s", fits),
        "eval_s": _total(records, "eval_s", fits),
        "ms_per_doc": per_document,
        "overhead": per_document / plain if per_document and plain else None,
        "kl": _mean_dose(records, "kl"),
        "shift": _mean_dose(records, "shift"),
        "bytes": max((r.fit["bytes"] for r in records if r.fit), default=None),
        "peak_memory_bytes": max(
            (r.timings.get("peak_memory_bytes") or 0 for r in records), default=None
        ),
    }


def _mean_dose(records: Sequence[Record], key: str) -> float | None:
    found = [r.fit["dose"][key] for r in records if r.fit and "dose" in r.fit]
    return sum(found) / len(found) if found else None


def _total(records: Sequence[Record], key: str, fits: int) -> float | None:
    found = [r.timings[key] for r in records if r.timings.get(key) is not None]
    return sum(found) / fits if found else None


def _per_document(records: Sequence[Record]) -> float | None:
    seconds_spent = sum(r.timings.get("eval_s") or 0.0 for r in records)
    documents = sum(len(r.samples) for r in records)
    return 1000 * seconds_spent / documents if documents else None
