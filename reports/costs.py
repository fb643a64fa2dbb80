"""What arms cost, beside what they reach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from reports.columns import Column, fixed, percent, ratio, ratios, seconds, size, suite_title
from reports.comparison import Comparison
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
    base = " or ".join(dict.fromkeys(comparison.baseline(suite) for suite in comparison.suites))
    suites = [
        Column(suite, suite_title(suite), fixed(), comparison.rises(tasks))
        for suite, tasks in comparison.suites.items()
    ]
    columns = [
        Column("arm", "arm"), *suites,
        Column("fit_s", "fit s", seconds, False), Column("tune_s", "tuning s", seconds, False),
        Column("ms_per_doc", "ms/doc", fixed(2), False),
        Column("overhead", f"cost/{base}", ratio, False),
        Column("overhead_interval", "interval", ratios),
        Column("kl", "dose (nats)", fixed(3)), Column("shift", "shift", percent),
        Column("bytes", "vector", size, False),
        Column("peak_memory_bytes", "peak memory", size, False),
    ]  # fmt: skip
    note = (
        "fit and tuning seconds are summed over tasks and are those of a fit on its own, work "
        "shared with other arms included; ms/doc is answering alone, without rendering prompts "
        "or proving that steering acts: the median of rounds in which the arm and "
        f"{base} answer the same documents in turn. cost/{base} is the median of the "
        "rounds' ratios beside the least and the largest one (a 97 % interval of the median of "
        "six), and a dash where they lie further apart than the ratio lies from 1. "
        "dose: mean KL from the unsteered model on neutral text; shift: relative change of the "
        "residual stream there. The vector's size is that of one task; peak memory is the "
        "process's so far."
    )
    return Table("Quality and cost", note, columns, rows)


def arm_cost(comparison: Comparison, arm: str, tasks: Sequence[str]) -> Row:
    """What an arm cost over some tasks: seconds are summed over tasks, averaged over fits."""
    records = [record for task in tasks for record in comparison.of(task, arm)]
    fits = max(1, len({record.spec["seed"] for record in records}))
    ratios = _paired(records)
    resolved = ratios is not None and _resolved(ratios)
    return {
        "fit_s": _total(records, "fit_s", fits),
        "tune_s": _total(records, "tune_s", fits),
        "eval_s": _total(records, "eval_s", fits),
        "ms_per_doc": _mean([r.timings.get("ms_per_doc") for r in records]),
        "overhead": statistics.median(ratios) if ratios and resolved else None,
        "overhead_interval": (min(ratios), max(ratios)) if ratios and resolved else None,
        "kl": _mean_dose(records, "kl"),
        "shift": _mean_dose(records, "shift"),
        "bytes": max((r.fit["bytes"] for r in records if r.fit), default=None),
        "peak_memory_bytes": max(
            (r.timings.get("peak_memory_bytes") or 0 for r in records), default=None
        ),
    }


def _mean_dose(records: Sequence[Record], key: str) -> float | None:
    return _mean([r.fit["dose"][key] for r in records if r.fit and "dose" in r.fit])


def _total(records: Sequence[Record], key: str, fits: int) -> float | None:
    found = [r.timings[key] for r in records if r.timings.get(key) is not None]
    return sum(found) / fits if found else None


def overhead(record: Record) -> float | None:
    """What a record's arm costs over its baseline: the median of the rounds' ratios."""
    ratios = _paired([record])
    return statistics.median(ratios) if ratios else None


def _paired(records: Sequence[Record]) -> list[float] | None:
    """The ratio of each round, seconds per document averaged over records; None without rounds."""
    rounds = [record.timings.get("rounds") for record in records]
    timed = [(each, each["documents"]) for each in rounds if each and each["plain_s"]]
    if not timed or len(timed) < len(records):
        return None
    own = zip(*([second / n for second in each["own_s"]] for each, n in timed), strict=False)
    plain = zip(*([second / n for second in each["plain_s"]] for each, n in timed), strict=False)
    return [sum(mine) / sum(theirs) for mine, theirs in zip(own, plain, strict=True)]


def _resolved(ratios: Sequence[float]) -> bool:
    """Whether the rounds agree better than the ratio differs from 1."""
    return max(ratios) - min(ratios) <= abs(statistics.median(ratios) - 1)


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None
