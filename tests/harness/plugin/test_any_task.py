"""A task of lm-eval's kind as cases, with a metric, documents and a fit of one's choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.plugin.conftest import run
from tests.harness.test_standard_tasks import GROUP, TASK, UTILS

ASKED = """
tasks: all_of_them
arms: [zero_shot, icv]
budget: 1
metric: hit
include_path: tasks
dataset: small=own.json
fit_on: large
limit: 4
at_least: {zero_shot: 0.0}
"""


def test_cases_of_a_group(project: pytest.Pytester) -> None:
    folder = Path(project.path / "tasks")
    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    (folder / "small.yaml").write_text(TASK.format(name="small", n=20, start=0))
    (folder / "large.yaml").write_text(TASK.format(name="large", n=40, start=100))
    (folder / "group.yaml").write_text(GROUP)
    rows = [{"question": f"x{i}", "choices": ["a", "b", "c"], "label": i % 3} for i in range(30)]
    (project.path / "own.json").write_text(json.dumps(rows))
    (project.path / "small.eval.yaml").unlink()
    (project.path / "own.eval.yaml").write_text(ASKED)
    result = run(project, "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*small icv 0*hit*"])


@pytest.mark.parametrize(
    ("line", "said"),
    [("dataset: small", "expected TASK=PATH"), ("metric: 3", "expected str"),
     ("fit_on: [a, b]", "expected str")],
)  # fmt: skip
def test_mistakes_name_the_file(project: pytest.Pytester, line: str, said: str) -> None:
    (project.path / "small.eval.yaml").write_text(f"tasks: antonym\narms: zero_shot\n{line}\n")
    result = run(project)
    assert result.ret != 0
    assert said in result.stdout.str()
