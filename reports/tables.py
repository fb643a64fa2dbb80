"""What arms reach, by suite and by task, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence

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
    suite_title,
)
from reports.comparison import Comparison
from reports.costs import arm_cost
from reports.stats import Difference, holm
from reports.table import Row, Table


def suite_table(comparison: Comparison, suite: str) -> Table:
    """Every arm's mean over a suite's tasks, beside its difference to the baseline and its cost."""
    tasks, baseline = comparison.suites[suite], comparison.baseline(suite)
    rows: list[Row] = []
    for arm in comparison.arms:
        cell = comparison.cell(arm, tasks)
        if cell is None:
            continue
        row: Row = {"arm": arm, "value": cell.value, "stderr": cell.stderr, "n": cell.n}
        against = _against(comparison, baseline, arm, tasks)
        rows.append({**row, **against, **arm_cost(comparison, arm, tasks)})
    _adjust(rows)
    headlines = sorted({comparison.headline(task) for task in tasks})
    better = comparison.rises(tasks)
    columns = [
        Column("arm", "arm"),
        Column("value", " / ".join(headlines), fixed(), better),
        Column("stderr", "stderr", fixed()),
        Column("difference", f"Δ {baseline}", signed, better),
        Column("interval", "95 % interval", pair),
        Column("p_holm", "p (Holm)", p_value),
        Column("rose" if better else "fell", "helped", percent, True),
        Column("fell" if better else "rose", "hurt", percent, False),
        Column("fit_s", "fit s", seconds, False),
        Column("eval_s", "eval s", seconds, False),
        Column("ms_per_doc", "ms/doc", fixed(2), False),
        Column("overhead", f"cost/{baseline}", ratio, False),
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
    better = comparison.rises(comparison.suites[suite])
    columns = [
        Column("task", "task"),
        Column("difference", f"{first} − {second}", signed, better),
        Column("interval", "95 % interval", pair),
        Column("p", "p", p_value),
        Column("p_holm", "p (Holm)", p_value),
        Column("rose", "higher", percent),
        Column("fell", "lower", percent),
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
        if len(row) > 1:
            rows.append(row)
    columns = [
        Column("arm", "arm"), *(Column(m, m, fixed(), directions.get(m)) for m in shared),
    ]  # fmt: skip
    note = "Means over the suite's tasks, without a combined test."
    return Table(f"{suite_title(suite)}: every metric", note, columns, rows)


def _against(comparison: Comparison, baseline: str, arm: str, tasks: Sequence[str]) -> Row:
    measured = all(comparison.of(task, baseline) for task in tasks)
    if arm == baseline or not measured:
        return {}
    return _shown(comparison.difference(arm, baseline, tasks=tasks))


def _shown(found: Difference) -> Row:
    return {
        "difference": found.value, "interval": (found.low, found.high), "p": found.p,
        "rose": found.rose, "fell": found.fell,
    }  # fmt: skip


def _adjust(rows: list[Row]) -> None:
    """Add Holm's p-values over all rows that were tested."""
    tested = [row for row in rows if "p" in row]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p


def _with_error(value: tuple[float, float]) -> str:
    middle, error = value
    return f"{middle:.3f}" if error != error else f"{middle:.3f} ± {error:.3f}"
