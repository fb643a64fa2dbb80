"""The fixtures and the marker."""

from __future__ import annotations

import pytest

from tests.harness.plugin.conftest import run

TESTS = """
import pytest

ASKED = {"data": "pairs.json", "arms": ["zero_shot", "fv"], "budget": 2, "limit": 4}


@pytest.mark.steering(**ASKED)
def test_comparison(comparison):
    difference = comparison.difference("fv", "zero_shot", "acc")
    assert difference.low <= difference.value <= difference.high
    assert comparison.arms == ["zero_shot", "fv"]


def test_evaluate(evaluate):
    record = evaluate("antonym", "zero_shot", limit=3)
    assert record.metrics["acc"].n == 3


def test_steered_model(steered_model):
    with steered_model("icv", "antonym", coefficient=0.5) as lm:
        assert lm.vector.coefficient == 0.5
    assert lm.vector is None
"""


def test_fixtures(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    (project.path / "small.eval.yaml").unlink()
    run(project).assert_outcomes(passed=3)


def test_comparison_without_a_marker_says_what_is_missing(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(comparison): ...")
    (project.path / "small.eval.yaml").unlink()
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs @pytest.mark.steering(tasks=*"])
