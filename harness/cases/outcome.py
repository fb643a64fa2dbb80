"""The outcome of a pytest case as plain data: what a report carries from worker to summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from reports import Record, baseline
from reports.files import write_atomically
from reports.gate import Rule, Verdict, judge
from reports.record import dump

Outcome = dict[str, Any]


def judged(
    records: Sequence[Record], path: Path | None, at_least: float | None, family: int
) -> list[Outcome]:
    """One outcome per record of a case.

    Args:
        records: One per seed.
        path: Baseline file; None judges by `at_least` alone.
        at_least: What the headline metric must reach (not exceed, where lower is better), side
            tasks aside.
        family: Cases judged together: the paired test's level is shared out among them.
    """
    measured = baseline.cases(records)
    aside = baseline.cases(record for record in records if record.spec.get("side"))
    known = baseline.read(path) if path else {}
    verdicts = {name: Verdict(name, "measured", "") for name in measured}
    if path:
        own = {name: known[name] for name in measured if name in known}
        rule = Rule(significance=Rule().significance / family)
        verdicts = {verdict.case: verdict for verdict in judge(own, measured, rule)}
    for name, case in measured.items():
        if case.value is None:
            verdicts[name] = Verdict(name, "nan", f"{case.metric} is not a number")
        elif at_least is not None and name not in aside and _short(case, at_least):
            bound = "at least" if case.higher_is_better else "at most"
            text = f"{case.metric} {case.value:.4f}, expected {bound} {at_least:g}"
            verdicts[name] = Verdict(name, "short", text)
    return [
        {
            "name": name, "status": verdicts[name].status, "text": verdicts[name].text,
            "failed": verdicts[name].failed or verdicts[name].status == "short",
            "baseline": known[name].value if name in known else None,
            **dataclasses.asdict(case),
        }
        for name, case in measured.items()
    ]  # fmt: skip


def _short(case: baseline.Case, bound: float) -> bool:
    if case.value is None:
        return True
    return case.value < bound if case.higher_is_better else case.value > bound


def settle(path: Path, outcomes: Sequence[Outcome], *, update: bool, whole: bool) -> list[str]:
    """Write what the run owes the baseline file, and name the cases that vanished.

    Args:
        path: Baseline file.
        outcomes: Of every case that ran.
        update: Take over everything that was measured.
        whole: No case was left out by a selection.
    """
    known = baseline.read(path)
    names = [field.name for field in dataclasses.fields(baseline.Case)]
    measured = {
        outcome["name"]: baseline.Case(**{name: outcome[name] for name in names})
        for outcome in outcomes
        if outcome["value"] is not None
    }
    kept = {} if update and whole else known
    new = measured if update else {n: case for n, case in measured.items() if n not in known}
    if new:
        baseline.write(path, {**kept, **new})
    return sorted(known.keys() - measured.keys()) if whole and not update else []


def table(outcomes: Sequence[Outcome]) -> str:
    """The cases for a terminal."""
    rows = [
        (o["name"], o["metric"], o["value"], o["baseline"], o["status"]) for o in _ordered(outcomes)
    ]
    headers = ("case", "metric", "value", "baseline", "status")
    return tabulate(rows, headers, floatfmt=".4f", missingval="–")


def write_json(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes, sorted by name."""
    write_atomically(path, dump(_ordered(outcomes), indent=1) + "\n")


def _ordered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """By name; the unsteered side tasks belong to several cases and stand once."""
    named = {outcome["name"]: outcome for outcome in outcomes}
    return [named[name] for name in sorted(named)]
