"""Figures of as many methods as there are can be read."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import pytest

from reports.comparison import Comparison
from reports.drawing import named_beside, panels
from reports.plots import draw, styled
from steering import get, names
from tests.reports.records import record
from tests.reports.test_tuned import SPACE, trial

METHODS = [name for name in names() if not get(name).control]


def many() -> Comparison:
    """All methods on a task of each suite: most at zero, as on a small model."""
    made = []
    for suite, task in (("precision", "antonym"), ("behavior_shift", "formality")):
        made += [record(task, "zero_shot", suite=suite), record(task, "few_shot", suite=suite)]
        for place, method in enumerate(METHODS):
            trials = [trial(0.5, 0.0), trial(1.0, 0.1 * (place % 3 == 0)), trial(2.0, 0.0)]
            tuning = {
                "trials": trials, "chosen": trials[1]["settings"], "higher_is_better": True,
                "budget": 3, "documents": 4, "metric": "acc", "space": SPACE, "edges": {},
            }  # fmt: skip
            values = (0, 0, 0, int(place % 3 == 0))
            made.append(record(task, method, values, suite=suite, tuning=tuning))
    return Comparison(made)


def test_nothing_collapses_and_nothing_is_said(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = draw(many(), tmp_path)
    assert {"overview", "cost", "search", "layers", "coefficients"} <= {each.name for each in made}


@pytest.mark.parametrize("heights", [[0.0] * 20, [0.5] * 20, [0.1 * i for i in range(11)], [0.3]])
def test_names_neither_meet_nor_leave_the_panel(heights: list[float]) -> None:
    with styled():
        canvas, (axis,) = panels(["one"], (4.6, 4.5))
        points = {f"method {i}": (0.1 * i, height) for i, height in enumerate(heights)}
        for x, y in points.values():
            axis.plot(x, y, "o")
        axis.set_ylim(-0.1, 1.1)
        named_beside(axis, points)
        canvas.draw_without_rendering()
        size = axis.bbox.height
        own = sorted(text.xyann[1] * size for text in axis.texts)
    assert len(own) == len(points)
    assert own[0] >= 0
    assert own[-1] <= size
    assert all(above - below > 10 for below, above in pairwise(own))
