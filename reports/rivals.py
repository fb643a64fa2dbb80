"""Which methods beat prompting, and which beat random vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.columns import Column, p_value, pair, signed, suite_title
from reports.comparison import Comparison
from reports.stats import Difference, holm
from reports.table import Row, Table

RANDOM = "random_vector"


def rivals_table(comparison: Comparison, suite: str) -> Table | None:
    """Every method against the best prompting and a random vector; None where neither was asked."""
    tasks, frame = comparison.suites[suite], comparison.baseline(suite)
    values = {arm: cell.value for arm in comparison.arms if (cell := comparison.cell(arm, tasks))}
    arms = {arm: _spec(comparison, arm, tasks) for arm in values}
    sign = 1 if comparison.rises(tasks) else -1
    order = sorted(values, key=lambda arm: -sign * values[arm])
    prompted = next((arm for arm in order if not arms[arm]["method"] and arm != frame), None)
    random = [arm for arm in order if arms[arm]["method"] == RANDOM and "@" not in arm]
    strongest = random[0] if random else None
    own = {str(arms[arm]["matched"]): arm for arm in random}
    methods = [
        arm
        for arm in values
        if arms[arm]["method"] and not arms[arm].get("matched") and "@" not in arm
    ]
    if not methods or not (prompted or random):
        return None
    controls = {arm: own.get(str(arms[arm]["method"]), strongest) for arm in methods}
    rows: list[Row] = [{"arm": arm, "control": controls[arm]} for arm in methods]
    for name, rival in (("prompted", dict.fromkeys(methods, prompted)), ("random", controls)):
        found = {
            arm: comparison.difference(arm, against, tasks=tasks)
            for arm, against in rival.items()
            if against
        }
        _put(rows, name, found)
    better = comparison.rises(tasks)
    columns = [Column("arm", "arm")]
    if prompted:
        columns += [
            Column("prompted", f"Δ {prompted}", signed, better),
            Column("prompted interval", "95 % interval", pair),
            Column("prompted p", "p (Holm)", p_value),
        ]
    if random:
        columns += [
            Column("random", "Δ random", signed, better),
            Column("random interval", "95 % interval", pair),
            Column("random p", "p (Holm)", p_value),
            Column("control", "random is"),
        ]
    note = (
        "Differences of the headline metric, paired by document, with BCa intervals; p adjusted by "
        "Holm over the column. The prompting that reaches most on these same documents is taken, "
        "which makes it the harder one to beat. random: the control of the method's own, else the "
        "one that reaches most."
    )
    return Table(f"{suite_title(suite)}: against prompting and chance", note, columns, rows)


def _spec(comparison: Comparison, arm: str, tasks: Sequence[str]) -> Mapping[str, object]:
    spec: Mapping[str, object] = comparison.of(tasks[0], arm)[0].spec["arm"]
    return spec


def _put(rows: Sequence[Row], name: str, found: Mapping[str, Difference]) -> None:
    """Add differences by arm to the rows, with Holm's p-values over all of them."""
    adjusted = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    for row in rows:
        if each := found.get(row["arm"]):
            row.update({
                name: each.value, f"{name} interval": (each.low, each.high),
                f"{name} p": adjusted[row["arm"]],
            })  # fmt: skip
