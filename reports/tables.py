"""Tables of a comparison, each as columns and rows; every output format reads the same ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from reports.columns import (
    Column,
    arrow,
    fixed,
    p_value,
    pair,
    percent,
    ratio,
    seconds,
    signed,
    size,
    suite_title,
)
from reports.comparison import BASELINE, Comparison
from reports.record import Record
from reports.stats import Difference, holm

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: Its heading.
        note: What a reader must know to read it.
        columns: What is shown.
        rows: One mapping per row.
    """

    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def texts(self) -> list[list[str]]:
        """Every cell as text."""
        return [[column.text(row) for column in self.columns] for row in self.rows]

    def markdown(self) -> str:
        """A GitHub table."""
        align = ["right" if column.numeric else "left" for column in self.columns]
        cells = [[text.replace("|", "\\|") for text in row] for row in self.texts()]
        headers = [column.title for column in self.columns]
        return tabulate(cells, headers, "pipe", colalign=align, disable_numparse=True)

    def latex(self) -> str:
        """A booktabs table."""
        headers = [column.title for column in self.columns]
        align = ["right" if column.numeric else "left" for column in self.columns]
        body = tabulate(
            self.texts(), headers, "latex_booktabs", colalign=align, disable_numparse=True
        )
        for sign, command in (
            ("↑", r"$\uparrow$"), ("↓", r"$\downarrow$"), ("−", "$-$"), ("–", "--"),
            ("×", r"$\times$"), ("Δ", r"$\Delta$"),
        ):  # fmt: skip
            body = body.replace(sign, command)
        return f"% {self.title}\n{body}\n"

    def csv(self) -> str:
        """Raw values, one row per line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.key for column in self.columns])
        for row in self.rows:
            writer.writerow([row.get(column.key) for column in self.columns])
        return out.getvalue()


def suite_table(comparison: Comparison, suite: str) -> Table:
    """Every arm's mean over a suite's tasks, beside its difference to zero_shot and its cost."""
    tasks = comparison.suites[suite]
    rows: list[Row] = []
    for arm in comparison.arms:
        cell = comparison.cell(arm, tasks)
        if cell is None:
            continue
        row: Row = {"arm": arm, "value": cell.value, "stderr": cell.stderr, "n": cell.n}
        rows.append(
            {**row, **_against_baseline(comparison, arm, tasks), **arm_cost(comparison, arm, tasks)}
        )
    _adjust(rows)
    headlines = sorted({comparison.headline(task) for task in tasks})
    better = _direction(comparison, tasks)
    columns = [
        Column("arm", "arm"),
        Column("value", " / ".join(headlines), fixed(), better),
        Column("stderr", "stderr", fixed()),
        Column("difference", f"Δ {BASELINE}", signed, better),
        Column("interval", "95 % interval", pair),
        Column("p_holm", "p (Holm)", p_value),
        Column("helped", "helped", percent, True),
        Column("hurt", "hurt", percent, False),
        Column("fit_s", "fit s", seconds, False),
        Column("eval_s", "eval s", seconds, False),
        Column("ms_per_doc", "ms/doc", fixed(2), False),
        Column("overhead", f"cost/{BASELINE}", ratio, False),
    ]
    note = (
        f"Mean over {len(tasks)} task{'s'[: len(tasks) != 1]}, {rows[0]['n'] if rows else 0} "
        "documents of the test split. Differences are paired by document; intervals resample "
        "documents within tasks (BCa, 10,000 draws); p from sign flips, adjusted by Holm over "
        "this table. fit s: one fit with the chosen settings, summed over tasks."
    )
    return Table(suite_title(suite), note, columns, rows)


def task_table(comparison: Comparison, suite: str) -> Table:
    """One row per task, one column per arm: the headline metric with its standard error."""
    rows: list[Row] = []
    arms = comparison.arms
    for task in comparison.suites[suite]:
        row: Row = {"task": task, "metric": f"{comparison.headline(task)}"}
        for arm in arms:
            cell = comparison.cell(arm, [task])
            if cell is not None:
                row[arm] = (cell.value, cell.stderr)
                row["n"] = cell.n
                row["metric"] = f"{comparison.headline(task)} {arrow(cell.higher_is_better)}"
        rows.append(row)
    shown = [arm for arm in arms if any(arm in row for row in rows)]
    columns = [
        Column("task", "task"), Column("metric", "metric"), Column("n", "n", fixed(0)),
        *(Column(arm, arm, _with_error) for arm in shown),
    ]  # fmt: skip
    note = "Value ± standard error over the documents of the test split."
    return Table(f"{suite_title(suite)}: every task", note, columns, rows)


def difference_table(comparison: Comparison, suite: str, first: str, second: str) -> Table:
    """Per task, how much two arms differ, with the paired test."""
    rows: list[Row] = []
    for task in comparison.suites[suite]:
        if not (comparison.of(task, first) and comparison.of(task, second)):
            continue
        found = comparison.difference(first, second, tasks=[task])
        rows.append({"task": task, **_shown(found), "detectable": found.detectable})
    _adjust(rows)
    better = _direction(comparison, comparison.suites[suite])
    columns = [
        Column("task", "task"),
        Column("difference", f"{first} − {second}", signed, better),
        Column("interval", "95 % interval", pair),
        Column("p", "p", p_value),
        Column("p_holm", "p (Holm)", p_value),
        Column("helped", "higher", percent),
        Column("hurt", "lower", percent),
        Column("detectable", "detectable", fixed()),
    ]
    note = (
        "p: mid-p McNemar for 0/1 metrics, sign flips otherwise; adjusted by Holm over the tasks. "
        "detectable: the smallest true difference that this number of documents finds in 80 % of "
        "cases."
    )
    return Table(f"{suite_title(suite)}: {first} against {second}", note, columns, rows)


def whole_table(comparison: Comparison, suite: str) -> Table | None:
    """All mean metrics of every arm, for suites whose headline is a product of several."""
    tasks = comparison.suites[suite]
    shared = [
        m for m in comparison.metrics(tasks[0]) if all(m in comparison.metrics(t) for t in tasks)
    ]
    if len(shared) < 2:
        return None
    rows: list[Row] = []
    directions: dict[str, bool] = {}
    for arm in comparison.arms:
        row: Row = {"arm": arm}
        for metric in shared:
            cell = comparison.cell(arm, tasks, metric)
            if cell is not None:
                row[metric], directions[metric] = cell.value, cell.higher_is_better
        rows.append(row)
    columns = [
        Column("arm", "arm"), *(Column(m, m, fixed(), directions.get(m)) for m in shared),
    ]  # fmt: skip
    note = "Means over the suite's tasks, without a combined test."
    return Table(f"{suite_title(suite)}: every metric", note, columns, rows)


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
                "chosen": chosen, "validation": better(scores),
                "tried": len(record.tuning["trials"]),
                "documents": record.tuning["documents"], "tune_s": record.timings.get("tune_s"),
            }
        )  # fmt: skip
    columns = [
        Column("task", "task"), Column("arm", "arm"), Column("seed", "seed", fixed(0)),
        Column("chosen", "chosen settings"), Column("validation", "validation", fixed()),
        Column("documents", "documents", fixed(0)), Column("tried", "tried", fixed(0)),
        Column("tune_s", "tuning s", seconds, False),
    ]  # fmt: skip
    note = "Every method gets the same number of configurations, scored on the validation split."
    return Table("Chosen settings", note, columns, rows)


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
        Column("bytes", "vector", size, False),
        Column("peak_memory_bytes", "peak memory", size, False),
    ]  # fmt: skip
    note = (
        "fit and tuning seconds are summed over tasks and are those of a fit on its own, work "
        "shared with other arms included; ms/doc is the evaluation alone; the "
        "vector's size is that of one task; peak memory is the process's so far."
    )
    return Table("Quality and cost", note, columns, rows)


def _against_baseline(comparison: Comparison, arm: str, tasks: Sequence[str]) -> Row:
    measured = all(comparison.of(task, BASELINE) for task in tasks)
    if arm == BASELINE or not measured:
        return {}
    return _shown(comparison.difference(arm, BASELINE, tasks=tasks))


def _shown(found: Difference) -> Row:
    return {
        "difference": found.value, "interval": (found.low, found.high), "p": found.p,
        "helped": found.helped, "hurt": found.hurt,
    }  # fmt: skip


def _adjust(rows: list[Row]) -> None:
    """Add Holm's p-values over all rows that were tested."""
    tested = [row for row in rows if "p" in row]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p


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
        "bytes": max((r.fit["bytes"] for r in records if r.fit), default=None),
        "peak_memory_bytes": max(
            (r.timings.get("peak_memory_bytes") or 0 for r in records), default=None
        ),
    }


def _total(records: Sequence[Record], key: str, fits: int) -> float | None:
    found = [r.timings[key] for r in records if r.timings.get(key) is not None]
    return sum(found) / fits if found else None


def _per_document(records: Sequence[Record]) -> float | None:
    seconds_spent = sum(r.timings.get("eval_s") or 0.0 for r in records)
    documents = sum(len(r.samples) for r in records)
    return 1000 * seconds_spent / documents if documents else None


def _direction(comparison: Comparison, tasks: Sequence[str]) -> bool | None:
    """The direction that all headline metrics share; None if they differ."""
    cells = [comparison.cell(arm, [task]) for task in tasks for arm in comparison.arms]
    found = {cell.higher_is_better for cell in cells if cell is not None}
    return found.pop() if len(found) == 1 else None


def _with_error(value: tuple[float, float]) -> str:
    middle, error = value
    return f"{middle:.3f}" if error != error else f"{middle:.3f} ± {error:.3f}"
