"""Several runs: their models by name, and what the same measurements differ in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reports.columns import Column, fixed, p_value, pair, percent, signed, suite_title
from reports.comparison import Comparison, by_model
from reports.identity import VERSIONS, WORDING, differing, place, question
from reports.record import Record, dump, number
from reports.stats import Array, compare, holm
from reports.table import Row, Table

ALIKE = ("task", "seed", *VERSIONS, *WORDING)
"""Parts of a spec that differ between the measurements of one row of a difference."""


@dataclass(frozen=True)
class Run:
    """The records of one folder.

    Attributes:
        name: What people call it.
        records: Finished records, of one or more models.
    """

    name: str
    records: Sequence[Record]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """One of each model."""
        return by_model(self.records)


def titled(runs: Sequence[Run]) -> dict[str, Comparison]:
    """Every comparison by its model's name, with the run's where several have the model."""
    names = [comparison.model for run in runs for comparison in run.comparisons]
    return {
        comparison.model
        if names.count(comparison.model) == 1
        else f"{comparison.model} ({run.name})": comparison
        for run in runs
        for comparison in run.comparisons
    }


def unmatched(runs: Sequence[Run]) -> list[str]:
    """The runs that share a model with the first one, and no measurement."""
    places = {place(record) for record in runs[0].records}
    return [
        f"{run.name} and {runs[0].name} have a model in common and nothing that was asked in the "
        "same way (task, arm, budget, limit, wording), so that they are not set against each other."
        for run in runs[1:]
        if places & {place(record) for record in run.records} and runs_table(runs[0], run) is None
    ]


def runs_table(first: Run, second: Run) -> Table | None:
    """Where two runs asked the same, how the second differs from the first; None where nowhere."""
    earlier = {question(record): record for record in first.records}
    asked = [(earlier[q], r) for r in second.records if (q := question(r)) in earlier]
    pairs = [(before, after) for before, after in asked if _same_documents(before, after)]
    groups: dict[str, list[tuple[Record, Record]]] = defaultdict(list)
    for before, after in sorted(pairs, key=lambda own: _order(second, own[1])):
        spec = {key: value for key, value in after.spec.items() if key not in ALIKE}
        groups[dump(spec)].append((before, after))
    if not groups:
        return None
    rows: list[Row] = []
    for (before, after), *more in groups.values():
        alike = [own[0][1].spec for own in groups.values() if _row(own[0][1]) == _row(after)]
        odd = differing(alike, ALIKE)[alike.index(after.spec)]
        model, suite, arm = _row(after)
        name = f"{arm} ({odd})" if odd else arm
        place = {"model": model, "suite": suite_title(suite), "arm": name}
        rows.append({**place, **_difference([(before, after), *more])})
    tested = [row for row in rows if not math.isnan(row["p"])]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    columns = [
        Column("model", "model"), Column("suite", "suite"), Column("arm", "arm"),
        Column("tasks", "tasks", fixed(0)), Column("n", "documents", fixed(0)),
        Column("first", first.name, fixed()), Column("second", second.name, fixed()),
        Column("difference", "difference", signed), Column("interval", "95 % interval", pair),
        Column("p_holm", "p (Holm)", p_value), Column("same", "same value", percent),
        Column("changed", "changed"),
    ]  # fmt: skip
    alone = len(first.records) + len(second.records) - 2 * len(asked)
    other = sorted({after.spec["task"] for _, after in asked} - {a.spec["task"] for _, a in pairs})
    left = f" Other documents or another headline: {', '.join(other)}." if other else ""
    note = (
        f"Measurements that both runs asked ({len(pairs)} records; {alone} are in one run only), "
        "paired by document: headline metric, mean over tasks and seeds. same value: share of "
        "documents whose value did not change. changed: what answered otherwise although the same "
        "was asked (the model's weights, the task's files, the method's code, the settings that "
        f"were chosen, versions of packages).{left}"
    )
    return Table(f"{second.name} against {first.name}", note, columns, rows)


def _difference(pairs: Sequence[tuple[Record, Record]]) -> Row:
    """Two runs on the same tasks, paired by document."""
    tasks: dict[str, list[tuple[Array, Array]]] = defaultdict(list)
    for before, after in pairs:
        tasks[after.spec["task"]].append(_values(before, after))
    sides = [[np.mean([own[side] for own in every], axis=0) for every in tasks.values()]
             for side in (0, 1)]  # fmt: skip
    groups = [after - before for before, after in zip(*sides, strict=True)]
    binary = all(len(own) == 1 and np.isin(own[0], (0, 1)).all() for own in tasks.values())
    found = compare(groups, binary=binary)
    return {
        "tasks": len(tasks), "n": found.n, "difference": found.value, "p": found.p,
        "interval": (found.low, found.high),
        "first": float(np.mean([each.mean() for each in sides[0]])),
        "second": float(np.mean([each.mean() for each in sides[1]])),
        "same": float(np.mean(np.concatenate(groups) == 0)), "changed": _changed(pairs),
    }  # fmt: skip


def _values(before: Record, after: Record) -> tuple[Array, Array]:
    """The headline of both runs' documents, in one order."""
    first, second = (
        np.array(
            [number(s.get(r.headline)) for s in sorted(r.samples, key=lambda s: int(s["doc_id"]))],
            dtype=np.float64,
        )
        for r in (before, after)
    )
    return first, second


def _same_documents(before: Record, after: Record) -> bool:
    return before.headline == after.headline and asked_documents(before) == asked_documents(after)


def asked_documents(record: Record) -> list[tuple[int, str]]:
    """A record's documents by id and content."""
    return sorted((int(s["doc_id"]), str(s["doc_hash"])) for s in record.samples)


def _row(record: Record) -> tuple[str, str, str]:
    return record.model, record.spec["suite"], record.arm


def _order(run: Run, record: Record) -> tuple[str, str, int, str]:
    arms = [arm for comparison in run.comparisons for arm in comparison.arms]
    place = arms.index(record.arm) if record.arm in arms else len(arms)
    return record.model, record.spec["suite"], place, record.arm


CHANGES = {"model_hash": "model", "task_hash": "task", "method_code": "method",
           "settings": "settings"}  # fmt: skip
"""How parts of a spec that answered otherwise are called."""


def _changed(pairs: Sequence[tuple[Record, Record]]) -> str:
    """What differs between two runs that asked the same, in words."""
    found: dict[str, Any] = {}
    for before, after in pairs:
        found |= {
            word: None for part, word in CHANGES.items()
            if before.spec.get(part) != after.spec.get(part)
        }  # fmt: skip
        mine, theirs = (record.provenance.get("versions") or {} for record in (before, after))
        found |= {name: None for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)}
    return ", ".join(found) or "nothing"
