"""Side effects in tables: signs, entanglement, Holm over the whole matrix, what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports.comparison import Comparison, NotCompared
from reports.lm_eval_files import export
from reports.side import EVERY, PLAIN, side_lines, side_table, sides
from reports.stats import holm
from tests.reports.records import comparison_records, side_records


def comparison() -> Comparison:
    return Comparison([*comparison_records(), *side_records()])


def test_the_suites_know_nothing_of_them() -> None:
    with_sides, without = comparison(), Comparison(comparison_records())
    assert with_sides.suites == without.suites
    assert with_sides.arms == without.arms
    assert side_table(without) is None
    assert side_lines(without) == []


def test_a_row_per_arm_and_task_and_holm_over_all_of_them() -> None:
    table = side_table(comparison())
    assert table is not None
    rows = [(row["arm"], row["task"]) for row in table.rows]
    pooled = [("fv", EVERY), ("icv", EVERY)]
    apart = [(arm, task) for task in ("antonym", "present-past") for arm in ("fv", "icv")]
    assert rows == [(PLAIN, "–"), *pooled, *apart]
    found = sides(comparison())
    assert found is not None
    tested = [(row, side) for row in table.rows[1:] for side in found.tasks]
    raw = [found.difference(row["arm"], row["task"], side) for row, side in tested]
    adjusted = holm([each.p for each in raw if each is not None])
    for (row, side), own, p in zip(tested, raw, adjusted, strict=True):
        assert own is not None
        assert row[side] == (own.value, own.low, own.high, p)


def test_a_loss_is_positive_whatever_the_metrics_direction() -> None:
    found = sides(comparison())
    assert found is not None
    by = {(r.arm, r.spec["task"], r.asked): r for r in side_records()}

    def mean(arm: str, task: str, side: str) -> float:
        record = by[arm, task, side]
        return float(np.mean([s[record.headline] for s in record.samples]))

    for arm in ("fv", "icv"):
        for task in ("antonym", "present-past"):
            plain = {side: mean("zero_shot", side, side) for side in ("questions", "pages")}
            less = 1 - mean(arm, task, "questions") / plain["questions"]
            more = mean(arm, task, "pages") / plain["pages"] - 1
            loss = found.entanglement(arm, task)
            assert loss is not None
            assert loss.value == pytest.approx((less + more) / 2)
            assert loss.value > 0
    both = [found.entanglement("icv", task) for task in ("antonym", "present-past")]
    pooled = found.entanglement("icv", EVERY)
    assert pooled is not None
    assert pooled.value == pytest.approx(np.mean([each.value for each in both if each]))


def test_a_side_task_at_zero_has_no_share() -> None:
    def emptied(record):  # type: ignore[no-untyped-def]
        if record.asked != "questions" or record.spec["arm"]["method"]:
            return record
        return replace(record, samples=[{**s, "acc": 0.0} for s in record.samples])

    found = sides(Comparison([*comparison_records(), *map(emptied, side_records())]))
    whole = sides(comparison())
    assert found is not None
    assert whole is not None
    loss, change = found.entanglement("icv", "antonym"), whole.difference("icv", "antonym", "pages")
    plain = whole.pooled.cell(PLAIN, ["pages"])
    assert loss is not None
    assert change is not None
    assert plain is not None
    assert loss.value == pytest.approx(change.value / plain.value)


def test_lines_say_what_each_method_loses() -> None:
    lines = side_lines(comparison())
    whose = [line.partition(": mean loss ")[0] for line in lines]
    assert whose == ["Side effects of fv", "Side effects of icv"]
    assert "0.300 nats on neutral text" in lines[1]


def test_lm_evals_files_keep_every_vector_apart(tmp_path: Path) -> None:
    found = export([*comparison_records(), *side_records()], tmp_path)
    results = {path.parent.name: json.loads(path.read_text())["results"] for path in found}
    own = next(name for name in results if name.endswith("fv of antonym on side tasks"))
    assert set(results[own]) == {"questions", "pages"}
    assert {"antonym", "present-past", "formality"} in map(set, results.values())


def test_side_records_alone_are_no_comparison() -> None:
    with pytest.raises(NotCompared, match="side tasks alone"):
        Comparison(side_records())


@pytest.mark.parametrize("known", [["questions"], ["pages"], ["questions", "pages"]])
def test_a_task_whose_documents_are_all_known_is_said_and_has_no_share(known: list[str]) -> None:
    made = [
        replace(r, samples=[{**s, "seen": True} for s in r.samples])
        if r.asked in known and r.spec["arm"]["method"]
        else r
        for r in side_records()
    ]
    found = Comparison([*comparison_records(), *made])
    said = [line for line in side_lines(found) if "not known" in line]
    assert [line.split()[3] for line in said] == known
    table, left = side_table(found), {"questions", "pages"} - set(known)
    assert (table is None) == (not left)
    if table is not None:
        assert left == {c.key for c in table.columns} & {"questions", "pages"}
        assert all(row["loss"] == row["loss"] for row in table.rows[1:])
