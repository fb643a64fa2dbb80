"""What tuning chose, how results answer to the coefficient, and what seeds change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.columns import Column, fixed, percent, seconds, signed, suite_title, three_digits
from reports.comparison import Comparison
from reports.record import Record
from reports.stats import steerability, variance_parts
from reports.table import Row, Table
from reports.trials import Trial, best, inside, measured, strength, tuned

EDGES_SAID = 12
"""Chosen values at the edge of their range that are told one by one; the marks show all."""


def settings_table(comparison: Comparison) -> Table | None:
    """What the tuning chose, how strong that is, on which validation score; None without any."""
    records = sorted(tuned(comparison), key=lambda r: (r.spec["task"], r.arm, r.spec["seed"]))
    if not records:
        return None
    rows: list[Row] = []
    for record in records:
        tuning, fit = record.tuning or {}, record.fit or {}
        dose = fit.get("dose") or {}
        rows.append(
            {
                "task": record.spec["task"], "arm": record.arm, "seed": record.spec["seed"],
                "chosen": ", ".join(_marked(*item, _edges(record)) for item in _chosen(record)),
                "raw": _raw_strength(fit), "moved": dose.get("moved"), "norm": dose.get("norm"),
                "validation": best(record, measured(record)),
                "tried": len(tuning["trials"]), "documents": tuning["documents"],
                "tune_s": record.timings.get("tune_s"), "slope": _slope(inside(record)),
            }
        )  # fmt: skip
    columns = [
        Column("task", "task"), Column("arm", "arm"), Column("seed", "seed", fixed(0)),
        Column("chosen", "chosen settings"), Column("raw", "raw strength", three_digits),
        Column("moved", "norm added", three_digits),
        Column("norm", "residual norm", three_digits),
        Column("validation", "validation", fixed()), Column("documents", "documents", fixed(0)),
        Column("tried", "tried", fixed(0)), Column("slope", "steerability", signed),
        Column("tune_s", "tuning s", seconds, False),
    ]  # fmt: skip
    return Table("Chosen settings", " ".join(_notes(records)), columns, rows)


def _notes(records: Sequence[Record]) -> list[str]:
    """What must be known to read the table of settings."""
    counts = sorted({len((record.tuning or {})["trials"]) for record in records})
    found = [
        f"tried: configurations that were evaluated on the validation split ({_listed(counts)}); "
        "on a task every method has the same budget, and fewer are tried only where its space "
        "holds fewer.",
    ]
    if any(trial.get("logprob") is not None for r in records for trial in measured(r)):
        found.append(
            "Where given answers are scored, the configurations of a batch share their passes, so "
            "that a whole grid may cost about one evaluation: they are counted all the same."
        )
    found.append(
        "raw strength: the chosen strength in the method's own unscaled unit, where it is relative "
        "or raw. norm added and residual norm: of the change and of the unsteered residual stream "
        "after the last edited block, on neutral text. steerability: slope of the validation score "
        "over the coefficient, by least squares over the configurations of the space."
    )
    edges = [
        f"{record.arm} on {record.spec['task']} (seed {record.spec['seed']}): {name}="
        f"{_value(value)}, the {end} that is searched"
        for record in records
        for name, value in _chosen(record)
        if (end := _edges(record).get(name))
    ]
    if edges:
        more = len(edges) - EDGES_SAID
        shown = [*edges[:EDGES_SAID], *([f"{more} more"] if more > 0 else [])]
        found.append(
            f"At the edge of the space, beyond which there may be better values: "
            f"{'; '.join(shown)}."
        )
    elif any("edges" in (record.tuning or {}) for record in records):
        found.append("No chosen value lies at the edge of its space.")
    return found


def _listed(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _chosen(record: Record) -> list[tuple[str, object]]:
    return list((record.tuning or {})["chosen"].items())


def _edges(record: Record) -> Mapping[str, str]:
    return (record.tuning or {}).get("edges") or {}


def _marked(name: str, value: object, edges: Mapping[str, str]) -> str:
    """A setting, with the end of its space at which it lies."""
    return f"{name}={_value(value)}" + (f" ({edges[name]})" if name in edges else "")


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _raw_strength(fit: Mapping[str, Any]) -> float | None:
    """The strength as a multiple of what the method makes before any scaling."""
    coefficient = fit.get("coefficient")
    at_1 = (fit.get("provenance") or {}).get("raw_at_1")
    if coefficient is None or (at_1 is None and fit.get("unit") != "raw"):
        return None
    return float(coefficient) * (1.0 if at_1 is None else float(at_1))


def _slope(trials: Sequence[Trial]) -> float | None:
    found = [(strength(t), float(t["score"])) for t in trials if math.isfinite(strength(t))]
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
        fits, documents = comparison.weights(tasks) ** 2 @ np.array(parts)
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
