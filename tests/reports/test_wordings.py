"""What is left of a gain in other words, against a calculation by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reports.comparison import Comparison
from reports.record import Record
from reports.stats import compare
from reports.wordings import wordings_table
from tests.reports.records import comparison_records, record


def worded(others: list[list[float]], *args: Any, **more: Any) -> Record:
    """A record whose documents were asked in other words; one list per document."""
    made = record(*args, **more)
    for sample, values in zip(made.samples, others, strict=True):
        sample["templates"] = values
    return made


def test_by_hand() -> None:
    bare = worded([[0, 0], [0, 1], [0, 0], [0, 0]], "t", values=[0, 0, 0, 1])
    steered = worded([[1, 0], [1, 1], [0, 0], [1, 0]], "t", "fv", [1, 1, 1, 1])
    weak = worded([[0, 0]] * 4, "t", "icv", [0, 1, 0, 0])
    comparison = Comparison([bare, steered, weak])
    table = wordings_table(comparison, "precision")
    assert table is not None
    fv, icv = table.rows
    assert (fv["arm"], fv["gain"], fv["number"]) == ("fv", 0.75, 2)
    assert fv["others"] == pytest.approx((3 / 4 + 0) / 2)
    assert fv["worst"] == 0
    expected = compare([np.array([0.5, 0.5, 0, 0.5])])
    assert fv["interval"] == (expected.low, expected.high)
    assert fv["left"] == pytest.approx(0.5)
    assert icv["left"] is None, "nothing that could be left"


def test_seeds_are_averaged_and_tasks_weigh_alike() -> None:
    records = [
        worded([[0], [0]], "t", values=[0, 0]),
        worded([[1], [0]], "t", "fv", [1, 1], seed=0),
        worded([[1], [1]], "t", "fv", [1, 1], seed=1),
        worded([[0], [0], [0]], "u", values=[0, 0, 0]),
        worded([[0], [0], [0]], "u", "fv", [1, 1, 1]),
    ]
    table = wordings_table(Comparison(records), "precision")
    assert table is not None
    (row,) = table.rows
    assert row["others"] == pytest.approx((3 / 4 + 0) / 2)
    assert row["tasks"] == 2


def test_records_without_other_words_make_no_table() -> None:
    comparison = Comparison(comparison_records())
    assert all(wordings_table(comparison, suite) is None for suite in comparison.suites)
    half = Comparison([record("t"), worded([[1]] * 4, "t", "fv", [1, 1, 1, 1])])
    assert wordings_table(half, "precision") is None
