"""What an arm costs: medians of paired rounds, and a dash where they do not agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reports import Comparison, Record
from reports.costs import arm_cost, cost_table, overhead
from tests.reports.records import record


def timed(task: str, own: list[float], plain: list[float] | None, documents: int = 2) -> Record:
    made = record(task, "fv" if plain else "zero_shot")
    rounds = {"documents": documents, "own_s": own, "plain_s": plain}
    return replace(made, timings={**made.timings, "rounds": rounds})


def cost(*records: Record) -> dict[str, Any]:
    comparison = Comparison([record(r.spec["task"]) for r in records] + list(records))
    return arm_cost(comparison, "fv", [r.spec["task"] for r in records])


def test_the_median_of_the_pairs_and_not_the_pair_of_medians() -> None:
    one = timed("antonym", [2.0, 4.0, 3.0, 2.0, 2.2, 2.1], [1.0, 2.0, 1.4, 1.0, 1.1, 1.0])
    ratios = sorted([2.0, 2.0, 3 / 1.4, 2.0, 2.0, 2.1])
    assert overhead(one) == pytest.approx((ratios[2] + ratios[3]) / 2)
    found = cost(one)
    assert found["overhead"] == pytest.approx(2.0)
    assert found["overhead_interval"] == pytest.approx((2.0, 3 / 1.4))


def test_rounds_that_agree_worse_than_the_ratio_differs_from_1_are_a_dash() -> None:
    noisy = timed("antonym", [1.0, 1.3, 1.1, 1.0, 0.9, 1.0], [1.0] * 6)
    assert cost(noisy)["overhead"] is None
    assert overhead(noisy) == pytest.approx(1.0)
    table = cost_table(Comparison([record(), noisy]))
    row = next(row for row in table.rows if row["arm"] == "fv")
    column = next(column for column in table.columns if column.key == "overhead")
    assert column.text(row) == "–"


def test_tasks_share_a_round_by_documents() -> None:
    small = timed("antonym", [2.0] * 6, [1.0] * 6, documents=1)
    large = timed("capitalize", [6.0] * 6, [3.0] * 6, documents=3)
    assert cost(small, large)["overhead"] == pytest.approx((2 + 2) / (1 + 1))


def test_records_without_rounds_have_no_cost_over_the_baseline() -> None:
    old = record(arm="fv")
    old = replace(old, timings={k: v for k, v in old.timings.items() if k != "rounds"})
    assert overhead(old) is None
    assert cost(old)["overhead"] is None
