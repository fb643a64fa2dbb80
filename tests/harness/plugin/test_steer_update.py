"""`--steer-update`: take what was measured over."""

from __future__ import annotations

import json

import pytest

from tests.harness.plugin.conftest import run

BASELINE = "--steer-baseline=base.json"


def test_an_update_passes_and_drops_what_is_gone(project: pytest.Pytester) -> None:
    run(project, BASELINE, "--steer-update").assert_outcomes(passed=2)
    run(project, BASELINE, "--steer-update", "--steer-arms=zero_shot").assert_outcomes(passed=1)
    cases = json.loads((project.path / "base.json").read_text())["cases"]
    assert [name.split()[-2:] for name in cases] == [["zero_shot", "0"]]


def test_an_update_of_a_selection_keeps_the_others(project: pytest.Pytester) -> None:
    run(project, BASELINE, "--steer-update")
    before = (project.path / "base.json").read_text()
    run(project, BASELINE, "--steer-update", "-k", "zero_shot").assert_outcomes(
        passed=1, deselected=1
    )
    assert json.loads((project.path / "base.json").read_text())["cases"].keys() == (
        json.loads(before)["cases"].keys()
    )


def test_an_update_needs_a_file(project: pytest.Pytester) -> None:
    result = run(project, "--steer-update")
    result.stderr.fnmatch_lines(["*--steer-update needs --steer-baseline FILE*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
