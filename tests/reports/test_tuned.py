"""What the tables and figures of the search say, against calculations by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reports.comparison import Comparison
from reports.figures_search import coefficients, layers, search
from reports.record import Record
from reports.table import Table
from reports.trials import curve, inside
from reports.tuned import EDGES_SAID, settings_table
from tests.reports.records import record

SPACE = {
    "layer": {"kind": "integer", "low": 0, "high": 9, "default": 3, "log": False},
    "coefficient": {"kind": "real", "low": 0.05, "high": 5.0, "default": 1.0, "log": True},
    "unit": {"kind": "choice", "values": ["residual"], "default": "raw"},
}


def trial(coefficient: float, score: float | None, unit: str = "residual", **more: Any) -> Any:
    settings = {"layer": 3, "coefficient": coefficient, "unit": unit}
    return {"settings": settings, "score": score, "seconds": 0.1, "error": None, **more}


def searched(*trials: Any, task: str = "antonym", higher: bool = True, **facts: Any) -> Record:
    fit = facts.pop("fit", {"bytes": 8, "norm": 2.0, "coefficient": 1.0, "unit": "raw"})
    tuning = {
        "trials": list(trials), "chosen": trials[-1]["settings"], "higher_is_better": higher,
        "budget": 24, "documents": 20, "metric": "acc", "space": SPACE, "edges": {}, **facts,
    }  # fmt: skip
    return record(task, "fv", tuning=tuning, fit=fit)


def table_of(*made: Record) -> Table:
    table = settings_table(Comparison(made))
    assert table is not None
    return table


def row(made: Record) -> dict[str, Any]:
    return dict(table_of(made).rows[0])


def test_a_slope_is_of_one_unit() -> None:
    """The published strength of 1 is another one than a relative strength of 1."""
    made = searched(trial(1.0, 0.9, "raw"), trial(1.0, 0.2), trial(2.0, 0.4), trial(3.0, 0.6))
    assert len(inside(made)) == 3
    assert row(made)["slope"] == pytest.approx(0.2)
    assert row(made)["validation"] == 0.9
    assert row(searched(trial(1.0, 0.9, "raw"), trial(2.0, 0.1)))["slope"] is None


@pytest.mark.parametrize(
    "space", [None, {}, {"unit": ["residual"]}, {"layer": [1, 2, 3], "unit": ["residual", "raw"]}]
)
def test_spaces_of_earlier_versions(space: Any) -> None:
    made = searched(trial(1.0, 0.9, "raw"), trial(2.0, 0.4), space=space)
    assert len(inside(made)) == (1 if space == {"unit": ["residual"]} else 2)


@pytest.mark.parametrize(
    ("fit", "raw"),
    [
        ({"coefficient": 0.5, "unit": "relative", "provenance": {"raw_at_1": 8.0}}, 4.0),
        ({"coefficient": 3.0, "unit": "raw", "provenance": {}}, 3.0),
        ({"coefficient": 3.0, "unit": "share of the angle"}, None),
        ({}, None),
    ],
)
def test_the_raw_strength_stands_beside_the_relative_one(fit: Any, raw: float | None) -> None:
    dose = {"kl": 0.1, "shift": 0.2, "moved": 7.5, "norm": 30.0}
    found = row(searched(trial(0.5, 0.4), fit={"bytes": 8, "dose": dose, **fit}))
    assert (found["raw"], found["moved"], found["norm"]) == (raw, 7.5, 30.0)


def test_a_value_at_the_edge_is_marked_and_said() -> None:
    made = searched(trial(4.99, 0.4), edges={"coefficient": "highest"})
    table = table_of(made)
    assert table.rows[0]["chosen"] == "layer=3, coefficient=4.99 (highest), unit=residual"
    assert "fv on antonym (seed 0): coefficient=4.99, the highest that is searched." in table.note
    inner = table_of(searched(trial(1.0, 0.4)))
    assert "No chosen value lies at the edge" in inner.note
    many = [
        searched(trial(4.99, 0.4), task=f"t{i}", edges={"coefficient": "highest"})
        for i in range(EDGES_SAID + 3)
    ]
    assert "; 3 more." in table_of(*many).note


def test_shared_passes_are_counted_all_the_same() -> None:
    scored = table_of(searched(trial(1.0, 0.4, logprob=-1.0)))
    assert "counted all the same" in scored.note
    assert "validation split (1)" in scored.note
    answered = table_of(searched(trial(1.0, 0.4)))
    assert "counted all the same" not in answered.note


def test_the_curve_of_a_search() -> None:
    scores = (None, 0.2, 0.1, None, 0.5)
    found = curve(searched(*(trial(1.0 + i, s) for i, s in enumerate(scores))))
    assert math.isnan(found[0])
    assert found[1:] == [0.2, 0.2, 0.2, 0.5]
    lower = searched(*(trial(1.0 + i, s) for i, s in enumerate(scores)), higher=False)
    assert curve(lower)[1:] == [0.2, 0.1, 0.1, 0.1]


def test_figures_group_strengths_that_are_drawn_from_a_range() -> None:
    """Of 40 strengths in a range, each power of two is one column and each half one point."""
    strengths = [0.1 * 1.1**i for i in range(40)]
    made = searched(trial(1.0, 0.9, "raw"), *(trial(c, c / 10) for c in strengths))
    comparison = Comparison([made])
    drawn = layers(comparison)
    assert drawn is not None
    (axis,) = drawn[0].axes
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "0.125", "0.25", "0.5", "1", "2", "4",
    ]  # fmt: skip
    (cells,) = axis.images[0].get_array()
    assert cells[3] == pytest.approx(max(c for c in strengths if c < 2**0.5) / 10)
    line = coefficients(comparison)
    assert line is not None
    mean, _ = line[0].axes[0].lines
    assert len(mean.get_xdata()) == 12
    nearest = [c for c in strengths if 2**0.25 < c < 2**0.75]
    at = list(mean.get_xdata()).index(2**0.5)
    assert mean.get_ydata()[at] == pytest.approx(sum(nearest) / len(nearest) / 10)


def test_the_curve_is_the_mean_over_tasks() -> None:
    one = searched(trial(1.0, 0.2), trial(2.0, 0.6), trial(3.0, 0.1))
    other = searched(trial(1.0, 0.4), trial(2.0, 0.2), task="capitalize")
    drawn = search(Comparison([one, other]))
    assert drawn is not None
    (line,) = drawn[0].axes[0].lines
    assert list(line.get_ydata()) == pytest.approx([0.3, 0.5, 0.5])
    assert search(Comparison([record()])) is None
