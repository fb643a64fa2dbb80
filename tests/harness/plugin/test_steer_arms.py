"""`--steer-arms` replaces the arms of every case."""

from __future__ import annotations

import pytest

from tests.harness.plugin.conftest import run


def test_arms_of_the_flag(project: pytest.Pytester) -> None:
    result = run(project, "--collect-only", "-q", "--steer-arms=icv,random_vector")
    result.stdout.fnmatch_lines(["*::pairs-icv", "*::pairs-random_vector:icv"])
    assert "zero_shot" not in result.stdout.str()


def test_an_unknown_arm_is_said_in_one_line(project: pytest.Pytester) -> None:
    result = run(project, "--steer-arms=icvv")
    result.stdout.fnmatch_lines(["*no arm named 'icvv'. Did you mean 'icv'?*"])
