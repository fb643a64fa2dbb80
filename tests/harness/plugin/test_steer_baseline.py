"""`--steer-baseline FILE`: the gate's rules, case by case."""

from __future__ import annotations

import json

import pytest

from tests.harness.plugin.conftest import run

BASELINE = "--steer-baseline=base.json"


def test_new_cases_are_written_and_fail_once(project: pytest.Pytester) -> None:
    first = run(project, BASELINE)
    first.assert_outcomes(failed=2)
    first.stdout.fnmatch_lines(["*had no baseline; written: review and commit it*"])
    run(project, BASELINE).assert_outcomes(passed=2)


def test_a_moved_number_fails(project: pytest.Pytester) -> None:
    run(project, BASELINE)
    path = project.path / "base.json"
    content = json.loads(path.read_text())
    case = next(case for name, case in content["cases"].items() if " fv " in name)
    case["values"], case["value"] = "1111", 1.5
    path.write_text(json.dumps(content))
    result = run(project, BASELINE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*pairs fv 0: acc *, was 1.5000: worse by more than 0.02*"])
    assert json.loads(path.read_text()) == content  # judged, not taken over


def test_a_vanished_case_fails_the_run(project: pytest.Pytester) -> None:
    run(project, BASELINE)
    result = run(project, BASELINE, "--steer-arms=zero_shot")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["FAIL * fv 0: in the baseline, but no case*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_selected_case_does_not_fail_the_others(project: pytest.Pytester) -> None:
    run(project, BASELINE)
    result = run(project, BASELINE, "-k", "zero_shot")
    result.assert_outcomes(passed=1, deselected=1)
    assert result.ret == pytest.ExitCode.OK
