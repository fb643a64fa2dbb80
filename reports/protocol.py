"""What a published protocol reports: the first token's rank, on the filter set and on all.

The filter set of the function vector paper is the documents whose answer the unsteered model finds
after demonstrations (arXiv:2310.15213): what steering is credited with is then the task, not
knowledge that the model lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reports.columns import Column, fixed
from reports.comparison import Comparison
from reports.foreign import markdown
from reports.published import published_table
from reports.record import Record, number
from reports.table import Row, Table

TOP = {"first_token_acc": "top-1", "first_token_top_2": "top-2", "first_token_top_3": "top-3"}
"""Metrics of the first token, with what they are called here."""

EXACT = "acc"
"""The whole answer, beside them."""


def protocol_of(records: Iterable[Record]) -> Mapping[str, object]:
    """What records say of the protocol that they were measured under; empty where of none."""
    for record in records:
        found = record.provenance.get("protocol")
        if isinstance(found, Mapping) and isinstance(found.get("name"), str):
            return found
    return {}


def named(records: Iterable[Record]) -> str:
    """The protocol's name for people."""
    found = protocol_of(records)
    return f"{found.get('name', '')}{' as published' if found.get('as_published') else ''}"


def protocol_tables(comparison: Comparison) -> list[Table]:
    """The protocol's own tables: none where its metrics were not measured."""
    filtered_by = protocol_of(comparison.records).get("filtered_by")
    every = [task for tasks in comparison.suites.values() for task in tasks]
    tasks = [task for task in every if "first_token_acc" in comparison.metrics(task)]
    if not tasks or not isinstance(filtered_by, str):
        return []
    name = named(comparison.records)
    return [
        _summary(comparison, tasks, filtered_by, name),
        _by_task(comparison, tasks, filtered_by, name),
        published_table(),
    ]


def _summary(comparison: Comparison, tasks: Sequence[str], filtered_by: str, name: str) -> Table:
    rows: list[Row] = []
    for arm in comparison.arms:
        row: Row = {"arm": arm}
        for metric in (EXACT, *TOP):
            cell = comparison.cell(arm, tasks, metric)
            if cell is not None:
                row |= {metric: cell.value, "n": cell.n}
        for metric in TOP:
            found = [filtered(comparison, task, arm, metric, filtered_by) for task in tasks]
            whole = [value for value in found if value is not None]
            if whole:
                row |= {
                    f"filtered {metric}": sum(value for value, _ in whole) / len(whole),
                    "filtered n": sum(n for _, n in whole), "tasks": len(whole),
                }  # fmt: skip
        rows.append(row)
    columns = [
        Column("arm", "arm"),
        *(Column(f"filtered {m}", f"{text}, filter set", fixed(), True) for m, text in TOP.items()),
        Column("filtered n", "n", fixed(0)),
        *(Column(m, f"{text}, all", fixed(), True) for m, text in TOP.items()),
        Column(EXACT, "whole answer, all", fixed(), True),
        Column("n", "n", fixed(0)),
    ]
    empty = len(tasks) - max((row.get("tasks", 0) for row in rows), default=0)
    note = (
        f"Means over {len(tasks)} task{'s'[: len(tasks) != 1]}. top-k: the first token of the "
        "right answer is among the k likeliest, which credits an answer that goes wrong later; "
        "whole answer: its exact greedy match. Filter set: test documents that "
        f"{markdown(filtered_by)} "
        "answers rightly with the same seed"
        + (f"; {empty} of the tasks have none." if empty else ".")
    )
    return Table(f"{name}: first token", note, columns, rows)


def _by_task(comparison: Comparison, tasks: Sequence[str], filtered_by: str, name: str) -> Table:
    rows: list[Row] = []
    for task in tasks:
        row: Row = {"task": task}
        for arm in comparison.arms:
            found = filtered(comparison, task, arm, "first_token_acc", filtered_by)
            if found is not None:
                row |= {arm: found[0], "n": found[1]}
        rows.append(row)
    shown = [arm for arm in comparison.arms if any(arm in row for row in rows)]
    columns = [
        Column("task", "task"), Column("n", "filter set", fixed(0)),
        *(Column(arm, arm, fixed(), True) for arm in shown),
    ]  # fmt: skip
    note = "Top-1 of the answer's first token on the filter set."
    return Table(f"{name}: first token on the filter set, every task", note, columns, rows)


def filtered(
    comparison: Comparison, task: str, arm: str, metric: str, filtered_by: str
) -> tuple[float, int] | None:
    """A metric's mean over the filter set and the set's size, each averaged over seeds.

    Args:
        comparison: The records.
        task: Its name.
        arm: Its name.
        metric: A metric of documents.
        filtered_by: The arm whose rightly answered documents count.

    Returns:
        None where no seed has a filter set with this arm.
    """
    by_seed = {record.spec["seed"]: record for record in comparison.of(task, filtered_by)}
    means, sizes = [], []
    for record in comparison.of(task, arm):
        judge = by_seed.get(record.spec["seed"])
        right = {
            sample["doc_id"]
            for sample in (judge.samples if judge else ())
            if number(sample.get("first_token_acc")) == 1
        }
        values = [number(s.get(metric)) for s in record.samples if s["doc_id"] in right]
        if values:
            means.append(sum(values) / len(values))
            sizes.append(len(values))
    if not means:
        return None
    return sum(means) / len(means), round(sum(sizes) / len(sizes))
