"""What a gain of the attribute costs in content: two readings of behaviour beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from reports.columns import Column, fixed, pair, signed, suite_title
from reports.comparison import Comparison
from reports.record import Record
from reports.table import Row, Table

NEEDED = ("attribute", "content")
KEPT = 0.9
"""The least share of the baseline's content that a configuration may leave."""


def price_table(comparison: Comparison, suite: str) -> Table | None:
    """Attribute and content of every arm, what the one costs of the other; None without them."""
    tasks = comparison.suites[suite]
    if not all(set(NEEDED) <= set(comparison.metrics(task)) for task in tasks):
        return None
    baseline = comparison.baseline(suite)
    rows: list[Row] = []
    for arm in comparison.arms:
        cells = {name: comparison.cell(arm, tasks, name) for name in NEEDED}
        if all(cells.values()):
            rows.append(
                {
                    "arm": arm,
                    **{name: cell.value for name, cell in cells.items() if cell},
                    **_paid(comparison, baseline, arm, tasks),
                    **_within(comparison, arm, tasks),
                }
            )
    columns = [
        Column("arm", "arm"),
        Column("attribute", "attribute", fixed(), True),
        Column("gain", f"Δ {baseline}", signed, True),
        Column("gain_interval", "95 % interval", pair),
        Column("content", "content", fixed(), True),
        Column("change", f"Δ {baseline}", signed, True),
        Column("change_interval", "95 % interval", pair),
        Column("price", "content paid per attribute", fixed(2), False),
        Column("within", "attribute at ≤ 10 % loss", fixed(), True),
        Column("reached", "reached on"),
    ]
    note = (
        "The attribute alone is how the papers read behaviour; content is chrF against the "
        "reference. content paid per attribute: loss of content over gain of attribute, a dash "
        "where the gain's interval includes 0. attribute at ≤ 10 % loss: the highest attribute, on "
        "the validation split, of all configurations that the search tried (the chosen one among "
        f"them) whose content there is at least {KEPT:.0%} of the unsteered model's on the same "
        "prompts; where no configuration keeps that much it is the unsteered attribute. reached "
        "on: the searches in which a configuration kept it with a higher attribute. Being the best "
        "of many on few documents, it is an upper bound of what the method gives on others."
    )
    return Table(f"{suite_title(suite)}: attribute and its price", note, columns, rows)


def _paid(comparison: Comparison, baseline: str, arm: str, tasks: Sequence[str]) -> Row:
    if arm == baseline or not all(comparison.of(task, baseline) for task in tasks):
        return {}
    gain, change = (comparison.difference(arm, baseline, name, tasks=tasks) for name in NEEDED)
    return {
        "gain": gain.value, "gain_interval": (gain.low, gain.high),
        "change": change.value, "change_interval": (change.low, change.high),
        "price": -change.value / gain.value if gain.low > 0 else None,
    }  # fmt: skip


def _within(comparison: Comparison, arm: str, tasks: Sequence[str]) -> Row:
    """The mean over searches of the best attribute within the bound; nothing for controls."""
    searched = [
        record
        for task in tasks
        for record in comparison.of(task, arm)
        if not record.spec["arm"].get("matched")
    ]
    found = [best for record in searched if (best := within(record)) is not None]
    if not found or len(found) < len(searched):
        return {}
    reached = sum(value > floor for value, floor in found)
    return {
        "within": sum(value for value, _ in found) / len(found),
        "reached": f"{reached} of {len(found)}",
    }


def within(record: Record, kept: float = KEPT) -> tuple[float, float] | None:
    """The highest attribute that a record's search reached within a bound on the loss of content.

    Args:
        record: A steered record.
        kept: The least share of the unsteered content on the same documents.

    Returns:
        The attribute, and the unsteered one below which it cannot fall (no steering keeps all
        content); None where the search did not keep both metrics.
    """
    unsteered = (record.tuning or {}).get("unsteered") or {}
    if any(unsteered.get(name) is None for name in NEEDED):
        return None
    floor, bound = unsteered["attribute"], kept * unsteered["content"]
    tried = [trial.get("metrics") or {} for trial in (record.tuning or {})["trials"]]
    kept_it = [
        float(metrics["attribute"])
        for metrics in tried
        if all(metrics.get(name) is not None for name in NEEDED) and metrics["content"] >= bound
    ]
    return max([float(floor), *kept_it]), float(floor)
