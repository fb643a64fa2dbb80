"""A pytest run of its own, on a small checkpoint, in this process: torch is imported once.

Such a run forgets what only it imported. What registers itself somewhere (with pyarrow, with
lm-eval) cannot be imported twice, so it is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path

import datasets  # noqa: F401
import lm_eval.evaluator
import lm_eval.filters  # noqa: F401
import pytest

import harness.cases.evals
import harness.cases.outcome
import harness.comparing.grid  # noqa: F401

ROOT = Path(__file__).parents[3]
PAIRS = [{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]
EVAL = """
data: pairs.json
arms: [zero_shot, fv]
budget: 2
limit: 4
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A folder with `small.eval.yaml`: two cases on 4 documents."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for xdist's workers
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (pytester.path / "pairs.json").write_text(json.dumps(PAIRS))
    (pytester.path / "small.eval.yaml").write_text(EVAL)
    options = f"--steer-model=hf:pretrained={checkpoint},dtype=float32"
    pytester.makeini(f"[pytest]\naddopts = -p harness.pytest_plugin {options}\n")
    return pytester


def run(project: pytest.Pytester, *more: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "no:cacheprovider", *more)
