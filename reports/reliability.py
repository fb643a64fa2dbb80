"""Whether a vector can be relied on: what its fit said before, and what documents say after."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from scipy import stats

from reports.columns import Column, fixed, percent, signed, suite_title
from reports.comparison import Comparison
from reports.record import Record
from reports.table import Row, Table

FINER = "target_logprob"
"""The metric by which documents are seen to move where the headline is right or wrong."""

LEAST = 4
"""Tasks below which a rank correlation says nothing at all."""

MEASURES = {
    "cosine": "cosine", "separation": "separation", "wrong": "wrong way", "slope": "slope",
    "falling": "falling",
}  # fmt: skip


def reliability_table(comparison: Comparison) -> Table | None:
    """Every method on every task: its gain, and what speaks for or against it."""
    rows = _rows(comparison)
    if not rows:
        return None
    columns = [
        Column("task", "task"), Column("arm", "arm"), Column("gain", "gain", signed, True),
        Column("cosine", "cosine", fixed(2), True),
        Column("separation", "separation", fixed(2), True),
        Column("wrong", "wrong way", percent, False), Column("slope", "slope", signed, True),
        Column("falling", "falling", percent, False),
    ]  # fmt: skip
    without = sorted({row["arm"] for row in rows if row["separation"] is None})
    note = (
        "gain: how much better the headline is than the baseline's, whichever way better lies. "
        "Before, from the fit: cosine, the mean between the difference vectors of any two "
        "contrasts, and separation, how many standard deviations the direction sets the two sides "
        "apart (means over the places that are read); a dash "
        f"where a fit has no difference vectors ({', '.join(without) or 'none here'}). After, "
        "from the documents: wrong way, the share whose value is worse than the baseline's "
        "(log-probability of the answer where there is one, else the headline); slope, the mean "
        "over documents of what the answer's log-probability per token gains from strength 0 to "
        "the chosen one (least squares over three strengths), and falling, the share of documents "
        "where it loses."
    )
    return Table("Reliability", note, columns, rows)


def prediction_table(comparison: Comparison) -> Table | None:
    """Rank correlation over tasks of each measure with the gain; None with too few tasks."""
    every, rows = _rows(comparison), list[Row]()
    for suite, tasks in comparison.suites.items():
        for arm in comparison.arms:
            own = [row for row in every if row["arm"] == arm and row["task"] in tasks]
            for measure, name in MEASURES.items():
                both = [(row[measure], row["gain"]) for row in own if row[measure] is not None]
                rho = _spearman(both)
                if rho is not None:
                    rows.append(
                        {
                            "suite": suite_title(suite), "arm": arm, "measure": name, "rho": rho,
                            "tasks": len(both),
                        }
                    )  # fmt: skip
    if not rows:
        return None
    columns = [
        Column("suite", "suite"), Column("arm", "arm"), Column("measure", "measure"),
        Column("rho", "rank correlation", signed), Column("tasks", "tasks", fixed(0)),
    ]  # fmt: skip
    note = (
        "Spearman's correlation over tasks between a measure and the gain. cosine and separation "
        "are known before anything is steered; the others come from the same documents as the "
        "gain. With few tasks a correlation of .8 is common by chance alone (5 % of the time and "
        "more with 6 tasks)."
    )
    return Table("What predicted the gain", note, columns, rows)


def _rows(comparison: Comparison) -> list[Row]:
    rows: list[Row] = []
    for suite, tasks in comparison.suites.items():
        baseline = comparison.baseline(suite)
        for task in tasks:
            for arm in comparison.arms:
                records = comparison.of(task, arm)
                if records and _method(records[0]) and comparison.of(task, baseline):
                    rows.append({"task": task, "arm": arm, **_row(comparison, task, arm, records)})
    known = [name for name in MEASURES if name != "wrong"]
    return rows if any(row[name] is not None for row in rows for name in known) else []


def _method(record: Record) -> bool:
    """A method for itself: no control, on top of no other prompting."""
    arm = record.spec["arm"]
    return bool(arm["method"]) and not arm.get("matched") and "@" not in record.arm


def _row(comparison: Comparison, task: str, arm: str, records: Sequence[Record]) -> Row:
    metric = FINER if FINER in comparison.metrics(task) else comparison.headline(task)
    moved = comparison.difference(arm, metric=metric, tasks=[task])
    gain = comparison.difference(arm, tasks=[task]).value
    slopes = [slope for record in records for slope in _slopes(record)]
    return {
        "gain": gain if comparison.rises([task]) else -gain,
        "cosine": _mean([_said(record, "cosine") for record in records]),
        "separation": _mean([_said(record, "separation") for record in records]),
        "wrong": moved.fell if comparison.rises([task], metric) else moved.rose,
        "slope": _mean(slopes),
        "falling": sum(slope < 0 for slope in slopes) / len(slopes) if slopes else None,
    }


def _said(record: Record, name: str) -> float | None:
    facts = ((record.fit or {}).get("provenance") or {}).get("reliability") or {}
    value = facts.get(name)
    return None if value is None else float(value)


def _slopes(record: Record) -> list[float]:
    found = ((record.fit or {}).get("response") or {}).get("slopes") or []
    return [float(slope) for slope in found if slope is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def _spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Of at least LEAST pairs that differ in both."""
    sides = list(zip(*pairs, strict=True))
    if len(pairs) < LEAST or any(len(set(side)) < 2 for side in sides):
        return None
    return float(stats.spearmanr(*sides).statistic)
