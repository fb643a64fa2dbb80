"""`--steer-model`."""

from __future__ import annotations

import pytest

from tests.harness.plugin.conftest import run


def test_an_unknown_model_fails_in_one_line(project: pytest.Pytester) -> None:
    result = run(project, "--steer-model=gpt2")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*no model type 'gpt2'; expected reference or hf*"])
    assert "Traceback" not in result.stdout.str()


def test_the_model_stands_in_the_names_of_the_cases(project: pytest.Pytester) -> None:
    run(project).stdout.fnmatch_lines(["checkpoint* pairs fv 0 *"])


def test_arguments_that_cannot_be_read_stop_the_run(project: pytest.Pytester) -> None:
    result = run(project, "--steer-model=hf:gpt2")
    result.stderr.fnmatch_lines(["*--steer-model: 'gpt2' is not KEY=VALUE*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
