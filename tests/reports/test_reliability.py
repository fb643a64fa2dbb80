"""The tables of reliability, against calculations by hand."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from reports.comparison import Comparison
from reports.record import Record
from reports.reliability import LEAST, prediction_table, reliability_table
from tests.reports.records import comparison_records, record


def steered(task: str, values: list[float], arm: str = "icv", **facts: Any) -> Record:
    said = {name: facts.pop(name) for name in ("cosine", "separation") if name in facts}
    fit = {"bytes": 8, "provenance": {"reliability": said} if said else {}}
    if "slopes" in facts:
        fit["response"] = {"slopes": facts.pop("slopes")}
    return record(task, arm, values, fit=fit, **facts)


def test_a_row_by_hand() -> None:
    comparison = Comparison(
        [
            record("t", values=[0, 0, 1, 1], more={"target_logprob": [-4, -3, -2, -1]}),
            steered(
                "t", [1, 0, 1, 0], cosine=0.25, separation=1.5, slopes=[1.0, -1.0, None, 0.5],
                more={"target_logprob": [-3, -3.5, -2, -2]},
            ),
            steered("t", [1, 1, 1, 1], arm="fv", more={"target_logprob": [-1, -1, -1, -0.5]}),
            steered("t", [0, 0, 0, 0], arm="random_vector:icv", cosine=0.9, separation=9.0,
                    more={"target_logprob": [-1, -1, -1, -1]}),
        ]
    )  # fmt: skip
    table = reliability_table(comparison)
    assert table is not None
    rows = {row["arm"]: row for row in table.rows}
    assert set(rows) == {"fv", "icv"}
    icv = rows["icv"]
    assert (icv["gain"], icv["cosine"], icv["separation"]) == (0.0, 0.25, 1.5)
    assert icv["wrong"] == 0.5, "two of four log-probabilities fell"
    assert icv["slope"] == pytest.approx(0.5 / 3)
    assert icv["falling"] == pytest.approx(1 / 3)
    assert (rows["fv"]["cosine"], rows["fv"]["slope"], rows["fv"]["gain"]) == (None, None, 0.5)
    assert "no difference vectors (fv)" in table.note


def test_without_a_finer_metric_the_headline_moves() -> None:
    comparison = Comparison([record("t"), steered("t", [0, 0, 1, 1], cosine=0.1, separation=1.0)])
    table = reliability_table(comparison)
    assert table is not None
    assert table.rows[0]["wrong"] == 0.25


def test_seeds_are_averaged() -> None:
    made = [
        steered("t", [1, 1, 1, 1], cosine=c, separation=1.0, seed=seed, slopes=[1.0])
        for seed, c in enumerate((0.2, 0.4))
    ]
    table = reliability_table(Comparison([record("t"), *made]))
    assert table is not None
    (row,) = table.rows
    assert row["cosine"] == pytest.approx(0.3)


def test_what_predicted_the_gain() -> None:
    gains, cosines = [0, 1, 2, 3, 4], [0.1, 0.3, 0.2, 0.5, 0.9]
    made = []
    for i, (gain, cosine) in enumerate(zip(gains, cosines, strict=True)):
        made.append(record(f"t{i}", values=[0] * 4))
        values = [1.0] * gain + [0.0] * (4 - gain)
        made.append(steered(f"t{i}", values, cosine=cosine, separation=1.0))
    table = prediction_table(Comparison(made))
    assert table is not None
    (row,) = table.rows  # separation does not vary, and nothing fell
    assert (row["arm"], row["measure"], row["tasks"]) == ("icv", "cosine", 5)
    assert row["rho"] == pytest.approx(stats.spearmanr(gains, cosines).statistic)
    few = Comparison(made[: 2 * (LEAST - 1)])
    assert prediction_table(few) is None


def test_records_that_say_nothing_make_no_table() -> None:
    assert reliability_table(Comparison(comparison_records())) is None
    assert prediction_table(Comparison(comparison_records())) is None
