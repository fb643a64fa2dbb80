"""Who judged a style: how well each judge knows it, and where two of them disagree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reports.claim import EXPECTED
from reports.columns import Column, fixed, pair, signed, suite_title
from reports.comparison import Comparison
from reports.table import Row, Table

FIRST, OTHER = "attribute", "attribute_by_"
INTERVALS = ("first_interval", "other_interval")
WEAK = 0.75
"""Accuracy below which a judge's word on a style is said to be worth little."""


def judge_table(comparison: Comparison) -> Table | None:
    """How well the judges of a style know it, on held-out texts and on texts from elsewhere."""
    rows: list[Row] = []
    for task, judge in _judges(comparison):
        rows.append({"task": task, "texts from": "held out", **judge})
        outside = judge.get("outside")
        if outside:
            files = ", ".join(outside["files"])
            rows.append({"task": task, "name": judge["name"], **outside, "texts from": files})
    if not rows:
        return None
    columns = [
        Column("task", "task"), Column("name", "judge"), Column("texts from", "texts from"),
        Column("n", "texts", fixed(0)), Column("accuracy", "accuracy", fixed(), True),
        Column("calibration_error", "calibration error", fixed(), False),
        Column("brier", "Brier score", fixed(), False),
        Column("mean_reference", "attribute of wanted texts", fixed()),
        Column("mean_input", "attribute of unwanted texts", fixed()),
    ]  # fmt: skip
    note = (
        "What `attribute` is measured with: the first judge of a task makes the headline. Held "
        "out: the task's validation and test texts, which no judge was fitted on; other files were "
        "given with --judge_check. calibration error: mean difference of probability and frequency "
        "over ten bins. No judge reads the measured model's activations."
    )
    return Table("Judges", note, columns, rows)


def agreement_table(comparison: Comparison, suite: str) -> Table | None:
    """Per arm, the difference to the baseline as each judge sees it; None with one judge."""
    tasks, rows = comparison.suites[suite], []
    for arm, against, judge in _asked(comparison, suite):
        first, other = (
            comparison.difference(arm, against, name, tasks=tasks)
            for name in (FIRST, f"{OTHER}{judge}")
        )
        product = first.value * other.value
        rows.append(
            {
                "difference": f"{arm} − {against}", "judge": judge,
                "first": first.value, "first_interval": (first.low, first.high),
                "other": other.value, "other_interval": (other.low, other.high),
                "sign": None if not product else "same" if product > 0 else "opposite",
            }
        )  # fmt: skip
    if not rows:
        return None
    columns = [
        Column("difference", "difference"),
        Column("first", "attribute, first judge", signed),
        Column("first_interval", "95 % interval", pair),
        Column("judge", "other judge"),
        Column("other", "attribute, other judge", signed),
        Column("other_interval", "95 % interval", pair),
        Column("sign", "sign"),
    ]
    note = "Two judges of the same outputs. sign: a dash where one of them sees no difference."
    return Table(f"{suite_title(suite)}: do the judges agree", note, columns, rows)


def judge_warnings(comparison: Comparison) -> list[str]:
    """Judges that know a style badly, and differences on whose sign two judges disagree.

    Opposite signs are a warning where at least one of the two intervals excludes 0.
    """
    found = []
    for task, judge in _judges(comparison):
        for where, facts in (("held-out texts", judge), ("outside texts", judge.get("outside"))):
            if facts and facts["accuracy"] < WEAK:
                found.append(
                    f"Judge {judge['name']} is right on {facts['accuracy']:.0%} of {task}'s "
                    f"{where}: what it says of this task is worth little."
                )
    for suite in comparison.suites:
        table = agreement_table(comparison, suite)
        for row in table.rows if table else ():
            sure = any(row[name][0] * row[name][1] > 0 for name in INTERVALS)
            if row["sign"] == "opposite" and sure:
                found.append(
                    f"The judges disagree on the sign of {row['difference']} in "
                    f"{suite_title(suite)}: {signed(row['first'])} by the first, "
                    f"{signed(row['other'])} by {row['judge']}."
                )
    return found


def _judges(comparison: Comparison) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each task's judges, as its newest record knows them."""
    for task in (task for tasks in comparison.suites.values() for task in tasks):
        records = [r for arm in comparison.arms for r in comparison.of(task, arm)]
        known = [r for r in records if r.provenance.get("classifier")]
        if known:
            newest = max(known, key=lambda record: str(record.provenance.get("date")))
            facts = dict(newest.provenance["classifier"])
            others = facts.pop("others", [])
            yield from ((task, judge) for judge in (facts, *others))


def _asked(comparison: Comparison, suite: str) -> Iterator[tuple[str, str, str]]:
    """Arm, the arm that it is compared with, and the name of a further judge of both."""
    tasks, baseline = comparison.suites[suite], comparison.baseline(suite)
    shared = set.intersection(*(set(comparison.metrics(task)) for task in tasks))
    names = sorted(name for name in shared if name.startswith(OTHER))
    methods = comparison.steered(suite)
    duel = [methods[m] for m in EXPECTED.get(suite, ()) if m in methods]
    compared = [(arm, baseline) for arm in comparison.arms if arm != baseline]
    for arm, against in [*compared, *([(duel[0], duel[1])] if len(duel) == 2 else [])]:
        for name in names:
            if all(comparison.cell(each, tasks, name) for each in (arm, against)):
                yield arm, against, name.removeprefix(OTHER)
