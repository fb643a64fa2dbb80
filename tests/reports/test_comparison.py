"""Comparisons, tables and the claim, against hand calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports.claim import answers, summary, verdict, verdicts
from reports.comparison import Comparison, NotCompared, by_model
from reports.tables import difference_table, suite_table, task_table
from reports.tuned import settings_table
from tests.reports.records import comparison_records, record


def test_cell_is_the_mean_of_the_tasks() -> None:
    comparison = Comparison(
        [record("a", values=(1, 1, 0, 0)), record("b", values=(1, 1, 1, 1, 1, 0))]
    )
    cell = comparison.cell("zero_shot", ["a", "b"])
    assert cell is not None
    assert cell.value == pytest.approx((0.5 + 5 / 6) / 2)
    assert cell.n == 10
    a, b = np.var([1, 1, 0, 0], ddof=1) / 4, np.var([1, 1, 1, 1, 1, 0], ddof=1) / 6
    assert cell.stderr == pytest.approx(math.sqrt(a + b) / 2)
    assert comparison.cell("fv", ["a"]) is None


def test_difference_is_paired_by_document_and_averaged_over_fits() -> None:
    comparison = Comparison(
        [
            record("a", values=(0, 0, 1, 1)),
            record("a", "fv", values=(1, 0, 1, 1), seed=0),
            record("a", "fv", values=(1, 1, 1, 0), seed=1),
        ]
    )
    found = comparison.difference("fv")
    assert found.value == pytest.approx(np.mean([1, 0.5, 0, -0.5]))
    assert (found.rose, found.fell) == (0.5, 0.25)


def test_other_documents_are_not_compared() -> None:
    other = record("a", "fv", values=(1, 1, 1))
    comparison = Comparison([record("a", values=(0, 0, 1, 1)), other])
    with pytest.raises(NotCompared, match="different documents"):
        comparison.difference("fv")
    with pytest.raises(NotCompared, match="measured arms"):
        comparison.difference("icv")


def test_the_newer_record_of_a_cell_counts() -> None:
    old = record(values=(0, 0), date="2026-01-01T00:00:00+00:00")
    new = record(values=(1, 1), date="2026-02-01T00:00:00+00:00")
    comparison = Comparison([new, old])
    assert comparison.superseded == 1
    cell = comparison.cell("zero_shot", ["antonym"])
    assert cell is not None
    assert cell.value == 1


def test_models_are_kept_apart() -> None:
    records = [record(), record(model_hash="m1")]
    assert len(by_model(records)) == 2
    with pytest.raises(NotCompared, match="several models"):
        Comparison(records)
    with pytest.raises(NotCompared, match="no records"):
        by_model([])


def test_suite_table_by_hand() -> None:
    comparison = Comparison([record(values=(0, 0, 0, 1)), record(arm="fv", values=(1, 1, 0, 1))])
    table = suite_table(comparison, "precision")
    header, texts = [c.title for c in table.columns], table.texts()
    assert header[:4] == ["arm", "acc ↑", "stderr", "Δ zero_shot ↑"]
    zero, fv = (dict(zip(header, row, strict=True)) for row in texts)
    assert (zero["acc ↑"], zero["Δ zero_shot ↑"], zero["fit s ↓"]) == ("0.250", "–", "–")
    assert (fv["acc ↑"], fv["Δ zero_shot ↑"], fv["fit s ↓"]) == ("0.750", "+0.500", "0.50")
    assert (fv["helped ↑"], fv["hurt ↓"]) == ("50 %", "0 %")


def test_every_format_holds_the_same_cells() -> None:
    comparison = Comparison(comparison_records())
    for table in (suite_table(comparison, "precision"), task_table(comparison, "behavior_shift")):
        markdown, latex, lines = table.markdown(), table.latex(), table.csv().splitlines()
        assert len(lines) == 1 + len(table.rows)
        assert latex.count(r"\\") == 1 + len(table.rows)
        for row in table.texts():
            for text in row:
                assert text in markdown


def test_tables_of_the_duel_and_of_the_settings() -> None:
    comparison = Comparison(comparison_records())
    duel = difference_table(comparison, "precision", "fv", "icv")
    assert [row["task"] for row in duel.rows] == ["antonym", "present-past"]
    expected = comparison.difference("fv", "icv", tasks=["antonym"])
    assert duel.rows[0]["difference"] == expected.value
    chosen = settings_table(comparison)
    assert chosen is not None
    assert {(row["task"], row["arm"]) for row in chosen.rows} == {
        (task, arm) for task in ("antonym", "present-past", "formality") for arm in ("fv", "icv")
    }
    assert chosen.rows[0]["chosen"] == "layer=0, coefficient=0.5"


def duel(precision: tuple[float, float], behaviour: tuple[float, float]) -> Comparison:
    rng, records = np.random.default_rng(0), []
    for suite, rates in (("precision", precision), ("behavior_shift", behaviour)):
        for arm, rate in zip(("fv", "icv"), rates, strict=True):
            values = (rng.random(80) < rate).astype(float)
            records.append(record(suite, arm, values, suite=suite))
    return Comparison(records)


@pytest.mark.parametrize(
    ("precision", "behaviour", "expected"),
    [
        ((0.9, 0.1), (0.1, 0.9), "holds on this model"),
        ((0.9, 0.1), (0.9, 0.1), "does not hold on this model: Behaviour shift goes"),
        ((0.1, 0.9), (0.9, 0.1), "Precision and Behaviour shift goes the other way"),
        ((0.9, 0.1), (0.5, 0.5), "is not decided on this model"),
    ],
)
def test_the_claim_is_read_off_the_numbers(
    precision: tuple[float, float], behaviour: tuple[float, float], expected: str
) -> None:
    comparison = duel(precision, behaviour)
    said = verdict(comparison, "acc")
    assert verdicts(comparison) == [said]
    assert said is not None
    assert expected in said


def test_without_both_suites_there_is_no_verdict() -> None:
    comparison = Comparison([record(), record(arm="fv", values=(1, 1, 1, 0))])
    assert verdicts(comparison) == []
    (answer,) = answers(comparison)
    assert (answer.suite, answer.arm, answer.value) == ("Precision", "fv", "0.750")
    assert summary(comparison)[0].startswith("Precision: the best steering method is fv at 0.750")
