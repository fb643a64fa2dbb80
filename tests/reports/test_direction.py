"""Metrics that are better when lower, and suites whose metrics go both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reports import Comparison, Record
from reports.claim import summary, verdict
from reports.costs import cost_table
from reports.figures_quality import cost, overview
from reports.figures_quality import tasks as duel_figure
from reports.figures_search import coefficients, layers
from reports.reliability import reliability_table
from reports.tables import suite_table
from tests.reports.records import record

PLAIN, LESS, MORE = (20.0, 30.0, 40.0, 50.0), (10.0, 20.0, 30.0, 51.0), (60.0, 70.0, 80.0, 49.0)


def falling(made: Record) -> Record:
    """The same, its headline better when lower."""
    metric = replace(made.metrics[made.headline], higher_is_better=False)
    tuning = made.tuning and {**made.tuning, "higher_is_better": False}
    return replace(made, metrics={**made.metrics, made.headline: metric}, tuning=tuning)


def searched(scores: dict[float, float]) -> dict[str, Any]:
    trials = [
        {"settings": {"layer": 1, "coefficient": c}, "score": s, "error": None}
        for c, s in scores.items()
    ]
    chosen = {"layer": 1, "coefficient": 1.0}
    return {"chosen": chosen, "trials": trials, "documents": 4, "higher_is_better": True}


def perplexities() -> list[Record]:
    """fv lowers a perplexity, icv raises it."""
    arms = {"zero_shot": PLAIN, "fv": LESS, "icv": MORE}
    made = [record("texts", arm, own, suite="texts", metric="ppl") for arm, own in arms.items()]
    tuning, fit = (
        searched({0.5: 30.5, 1.0: 10.25}),
        {"provenance": {"reliability": {"cosine": 0.5}}},
    )
    return [falling(r if r.arm == "zero_shot" else _fitted(r, tuning, fit)) for r in made]


def _fitted(made: Record, tuning: dict[str, Any], fit: dict[str, Any]) -> Record:
    dose = {"kl": 0.1, "perplexity_ratio": 1.1, "shift": 0.2, "norm": 1.0, "moved": 1.0}
    return replace(made, tuning=tuning, fit={**fit, "bytes": 8, "dose": dose})


def test_the_best_method_is_the_one_with_the_lowest_perplexity() -> None:
    (said,) = [line for line in summary(Comparison(perplexities())) if "best" in line]
    assert "the best steering method is fv at 27.750, −7.250" in said
    assert "75 % of 4 documents better, 25 % worse" in said


def test_helped_and_hurt_follow_the_direction() -> None:
    table = suite_table(Comparison(perplexities()), "texts")
    row = next(row for row in table.rows if row["arm"] == "fv")
    shown = {column.heading: column.text(row) for column in table.columns}
    assert (shown["helped"], shown["hurt"]) == ("75 %", "25 %")


def test_a_gain_is_how_much_better_and_costs_bear_the_arrow() -> None:
    comparison = Comparison(perplexities())
    table = reliability_table(comparison)
    assert table
    rows = {row["arm"]: row for row in table.rows}
    assert rows["fv"]["gain"] == pytest.approx(7.25)
    assert (rows["fv"]["wrong"], rows["icv"]["wrong"]) == (0.25, 0.75)
    assert "texts ↓" in [column.title for column in cost_table(comparison).columns]


def test_a_suite_whose_metrics_go_both_ways_is_two() -> None:
    right = [record("words", arm, suite="texts") for arm in ("zero_shot", "fv")]
    comparison = Comparison([*perplexities(), *right])
    assert comparison.suites == {
        "texts (higher is better)": ["words"], "texts (lower is better)": ["texts"],
    }  # fmt: skip
    assert comparison.steered("texts (lower is better)") == {"fv": "fv", "icv": "icv"}
    assert comparison.steered("texts (higher is better)") == {"fv": "fv"}
    assert len([line for line in summary(comparison) if "best steering" in line]) == 2


@pytest.mark.parametrize(("lower", "word"), [(False, "holds"), (True, "does not hold")])
def test_the_claim_is_read_in_the_metrics_direction(lower: bool, word: str) -> None:
    """ICV's value is higher on behaviour: better or worse, as the metric says."""
    n = np.arange(12.0) / 40
    made = [
        record(task, arm, n + own, suite=suite, metric=metric)
        for task, suite, metric, values in (
            ("antonym", "precision", "acc", {"zero_shot": 0.0, "fv": 0.5, "icv": 0.1}),
            ("polite", "behavior_shift", "joint", {"zero_shot": 0.0, "fv": 0.1, "icv": 0.5}),
        )
        for arm, own in values.items()
    ]
    made = [falling(r) if lower and r.headline == "joint" else r for r in made]
    said = verdict(Comparison(made), "joint")
    assert said
    assert word in said


def test_figures_show_values_beyond_1() -> None:
    comparison = Comparison(perplexities())
    for axis in (figure(overview, comparison), figure(duel_figure, comparison)):
        low, high = axis.get_xlim()
        drawn = [x for line in axis.lines for x in line.get_xdata()]
        assert low <= min(drawn)
        assert max(drawn) <= high
    axis = figure(cost, comparison)
    assert axis.yaxis_inverted()  # up is better


def test_a_cell_of_a_map_bears_its_value() -> None:
    made = layers(Comparison(perplexities()))
    assert made
    written = {text.get_text() for axis in made[0].axes for text in axis.texts}
    assert written == {"30.50", "10.25"}


def test_the_best_of_a_coefficient_is_the_lowest() -> None:
    trials = searched({0.5: 30.5, 1.0: 10.25})
    trials["trials"].append(
        {"settings": {"layer": 2, "coefficient": 1.0}, "score": 5.0, "error": None}
    )
    made = [replace(r, tuning=trials) if r.tuning else r for r in perplexities()]
    drawn = coefficients(Comparison([falling(r) for r in made]))
    assert drawn
    axis = next(axis for axis in drawn[0].axes if axis.get_title().startswith("fv,"))
    best = next(line for line in axis.lines if line.get_label() == "best")
    assert list(best.get_ydata()) == [30.5, 5.0]


def figure(make: Any, comparison: Comparison) -> Any:
    """The only axis of a figure."""
    canvas, _, _ = make(comparison)
    (axis,) = canvas.axes
    return axis
