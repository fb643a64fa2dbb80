"""What steering costs on tasks that nothing was tuned for: side effects and entanglement.

Every vector answers the side tasks too, and is compared there with the unsteered model, document by
document. A document that the vector was fitted or tuned on does not count, for any arm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.columns import DASH, Column, arrow, fixed, p_value, pair, ratio, signed
from reports.comparison import Comparison
from reports.identity import WORDING
from reports.record import Metric, Record
from reports.stats import Array, Difference, compare, holm
from reports.table import Row, Table

PLAIN = "unsteered"
EVERY = "all"
"""The tasks of a row that pools what an arm's vectors of several tasks do."""


@dataclass(frozen=True)
class Sides:
    """The side records of a model as comparisons of their own.

    Attributes:
        pooled: Side task x arm; the vectors that an arm has for several tasks count as its fits.
        apart: Side task x arm and the task that its vector was made for.
        rows: Of the table: arm, the task it was made for, and the records.
    """

    pooled: Comparison
    apart: Comparison
    rows: tuple[tuple[str, str, tuple[Record, ...]], ...]

    @property
    def tasks(self) -> list[str]:
        """The side tasks."""
        return [task for tasks in self.pooled.suites.values() for task in tasks]

    def of(self, arm: str, task: str) -> tuple[Comparison, str]:
        """Where an arm's records are, and its name there."""
        return (self.pooled, arm) if task == EVERY else (self.apart, _apart(arm, task))

    def difference(self, arm: str, task: str, side: str) -> Difference | None:
        """What an arm's vector changes on a side task; None where it was not measured.

        Args:
            arm: The arm.
            task: The task that its vector was made for, or `EVERY`.
            side: The side task.
        """
        where, name = self.of(arm, task)
        if not where.of(side, name) or not where.of(side, PLAIN):
            return None
        return where.difference(name, PLAIN, tasks=[side])

    def entanglement(self, arm: str, task: str) -> Difference | None:
        """The mean loss over the side tasks, each relative to the unsteered value.

        Positive where the metric is worse, whatever its direction. A side task whose unsteered
        value is 0 has no such share, and is left out.
        """
        groups = list(self.losses(arm, task).values())
        return compare(groups) if groups else None

    def losses(self, arm: str, task: str) -> dict[str, Array]:
        """Each document's loss (n,) as a share of the unsteered value, by side task that has one.

        Args:
            arm: The arm.
            task: The task that its vector was made for, or `EVERY`.
        """
        where, name = self.of(arm, task)
        found = {}
        for side in self.tasks:
            plain = where.cell(PLAIN, [side])
            if plain is None or not where.of(side, name):
                continue
            where.require_same_documents(side, name, PLAIN)
            metric = where.headline(side)
            mine, theirs = (where.documents(side, each, metric) for each in (name, PLAIN))
            base = float(theirs.mean())
            if base != 0 and math.isfinite(base):
                sign = -1 if plain.higher_is_better else 1
                found[side] = sign * (mine.mean(axis=0) - theirs.mean(axis=0)) / abs(base)
        return found


def sides(comparison: Comparison) -> Sides | None:
    """The side effects of a model's vectors; None where none were measured."""
    seen, known = _seen(comparison), exhausted(comparison)
    every = [record for record in comparison.side_records if record.asked not in known]
    steered = [record for record in every if record.spec["arm"]["method"]]
    plain = [record for record in every if not record.spec["arm"]["method"]]
    if not steered or not plain:
        return None
    unsteered = [_put(record, PLAIN, 0, seen) for record in plain]
    pooled = [_put(record, record.arm, number, seen) for number, record in enumerate(steered)]
    apart = [
        _put(record, _apart(record.arm, str(record.spec["task"])), record.spec["seed"], seen)
        for record in steered
    ]
    grouped: dict[tuple[str, str], list[Record]] = {}
    for record in steered:
        grouped.setdefault((record.arm, str(record.spec["task"])), []).append(record)
    rows, tasks = [], {task for _, task in grouped}
    for arm in dict.fromkeys(arm for arm, _ in grouped):
        own = {task: tuple(found) for (name, task), found in grouped.items() if name == arm}
        if len(tasks) > 1:
            rows.append((arm, EVERY, tuple(r for found in own.values() for r in found)))
        rows += [(arm, task, found) for task, found in own.items()]
    rows.sort(key=lambda row: (row[1] != EVERY, row[1], comparison.arms.index(row[0])))
    return Sides(Comparison([*unsteered, *pooled]), Comparison([*unsteered, *apart]), tuple(rows))


def _seen(comparison: Comparison) -> set[tuple[str, int]]:
    """Side tasks' documents that some vector was fitted or tuned on."""
    return {
        (record.asked, sample["doc_id"])
        for record in comparison.side_records
        for sample in record.samples
        if sample.get("seen")
    }


def exhausted(comparison: Comparison) -> list[str]:
    """Side tasks of which no document is left that no vector has seen."""
    seen, asked = _seen(comparison), dict[str, set[int]]()
    for record in comparison.side_records:
        asked.setdefault(record.asked, set()).update(s["doc_id"] for s in record.samples)
    return [task for task, ids in asked.items() if all((task, each) in seen for each in ids)]


def _apart(arm: str, task: str) -> str:
    return f"{arm} of {task}"


def _put(record: Record, arm: str, seed: int, seen: set[tuple[str, int]]) -> Record:
    """A side record as one of the side task, without the documents that some vector has seen."""
    spec = {k: v for k, v in record.spec.items() if k not in (*WORDING, "side", "side_hash")}
    own = {"task": record.asked, "suite": record.asked, "task_hash": record.spec.get("side_hash")}
    named = {"arm": {**record.spec["arm"], "name": arm}, "seed": seed}
    samples = [s for s in record.samples if (record.asked, s["doc_id"]) not in seen]
    metrics = {name: _over(metric, name, samples) for name, metric in record.metrics.items()}
    return replace(record, spec={**spec, **own, **named}, samples=samples, metrics=metrics)


def _over(metric: Metric, name: str, samples: Sequence[Mapping[str, Any]]) -> Metric:
    """A metric over some of its documents; as it was where all of them count."""
    known = [float(s[name]) for s in samples if isinstance(s.get(name), int | float)]
    if len(known) == metric.n or not known:
        return metric
    return replace(metric, value=math.fsum(known) / len(known), n=len(known))


def side_table(comparison: Comparison) -> Table | None:
    """A row per arm and task that its vector was made for, a column per side task."""
    found = sides(comparison)
    if found is None:
        return None
    values = {side: found.pooled.cell(PLAIN, [side]) for side in found.tasks}
    rows: list[Row] = [
        {"arm": PLAIN, "task": DASH, **{s: (c.value, c.stderr) for s, c in values.items() if c}}
    ]
    tested: list[tuple[Row, str, Difference]] = []
    for arm, task, records in found.rows:
        row: Row = {"arm": arm, "task": task, **_neutral(records)}
        for side in found.tasks:
            if (change := found.difference(arm, task, side)) is not None:
                tested.append((row, side, change))
        if (loss := found.entanglement(arm, task)) is not None:
            row |= {"loss": loss.value, "loss_interval": (loss.low, loss.high)}
        rows.append(row)
    for (row, side, change), p in zip(tested, holm([c.p for *_, c in tested]), strict=True):
        row[side] = (change.value, change.low, change.high, p)
    columns = [
        Column("arm", "arm"), Column("task", "made for"),
        *(Column(side, _heading(found, side), _change) for side in found.tasks),
        Column("loss", "entanglement", _share, False),
        Column("loss_interval", "95 % interval", _shares),
        Column("kl", "KL (nats)", fixed(), False),
        Column("perplexity", "perplexity", ratio, False),
    ]  # fmt: skip
    return Table("Side effects", _note(found), columns, rows)


def _heading(found: Sides, side: str) -> str:
    cell = found.pooled.cell(PLAIN, [side])
    better = f" {arrow(cell.higher_is_better)}" if cell else ""
    return f"Δ {side} {found.pooled.headline(side)}{better}"


def _note(found: Sides) -> str:
    sizes = {side: len(found.pooled.of(side, PLAIN)[0].samples) for side in found.tasks}
    documents = ", ".join(f"{side} {n}" for side, n in sizes.items())
    return (
        "Every vector at its chosen strength, on tasks that it was neither fitted nor tuned for, "
        "which are asked as their own baseline is. First row: the unsteered value ± standard "
        "error; below it differences to that, paired by document, with their 95 % interval (BCa) "
        f"and p, adjusted by Holm over the table. Documents: {documents}; those that a vector was "
        "fitted or tuned on are left out. entanglement: mean loss over the side tasks, each "
        "relative to the unsteered value (positive is worse; a task whose unsteered value is 0 "
        "has no share in it). KL and perplexity: on neutral text, from the unsteered model to the "
        "steered one, and its perplexity over the unsteered one's."
    )


def _neutral(records: Sequence[Record]) -> Row:
    """What the vectors do to neutral text, over targets and fits."""
    doses = [(record.fit or {}).get("dose") or {} for record in records]
    found: Row = {}
    for key, name in (("kl", "kl"), ("perplexity_ratio", "perplexity")):
        known = [dose[key] for dose in doses if dose.get(key) is not None]
        if known:
            found[name] = sum(known) / len(known)
    return found


def _change(value: tuple[float, ...]) -> str:
    if len(value) == 2:
        middle, error = value
        return f"{middle:.3f}" if math.isnan(error) else f"{middle:.3f} ± {error:.3f}"
    middle, low, high, p = value
    return f"{signed(middle)} {pair((low, high))}, p {p_value(p)}"


def _share(value: float) -> str:
    return f"{100 * value:+.1f} %".replace("-", "−")


def _shares(value: tuple[float, float]) -> str:
    low, high = (_share(each).removesuffix(" %") for each in value)
    return f"[{low}, {high}] %"


def side_lines(comparison: Comparison) -> list[str]:
    """Of each method, what it costs elsewhere, in a sentence."""
    lines = [
        f"Side effects on {task} are not known: vectors were fitted or tuned on all its documents."
        for task in exhausted(comparison)
    ]
    found = sides(comparison)
    if found is None:
        return lines
    several = len({task for _, task, _ in found.rows}) > 1
    for arm, task, records in found.rows:
        arms = records[0].spec["arm"]
        loss = found.entanglement(arm, task)
        if arms.get("matched") or (several and task != EVERY) or loss is None:
            continue
        kl = _neutral(records).get("kl")
        dose = f"; {kl:.3f} nats on neutral text" if kl is not None else ""
        lines.append(
            f"Side effects of {arm}: mean loss {_share(loss.value)} "
            f"{_shares((loss.low, loss.high))} over {', '.join(found.losses(arm, task))}{dose}."
        )
    return lines
