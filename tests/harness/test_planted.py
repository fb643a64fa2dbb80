"""Planted regressions against the committed baseline of the built-in model: each turns it red."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import normalizers

from harness.cases.evals import Asked, Evaluator
from harness.tuning.fit import Fitted, Fitter
from reports import baseline
from reports.gate import Rule, judge
from steering.heads import strongest
from steering.layout import Layout

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ASKED = Asked(tasks=("country-capital",), arms=("zero_shot", "fv:default"))
"""The published settings: a search finds its way round many a fault, as a user's would."""


@pytest.fixture
def evaluator(tmp_path: Path) -> Evaluator:
    return Evaluator("reference", {}, tmp_path)


def failed(evaluator: Evaluator) -> set[str]:
    """The arms at which the gate is red."""
    records = evaluator.measure(ASKED, ASKED.tasks, ASKED.chosen("reference")[1])
    found = baseline.cases(records)
    known = baseline.read(ROOT / "baselines" / "reference.json")
    verdicts = judge({name: known[name] for name in found}, found, Rule())
    return {verdict.case.split()[2] for verdict in verdicts if verdict.failed}


def test_unchanged_code_is_green(evaluator: Evaluator) -> None:
    assert failed(evaluator) == set()


def test_a_head_index_off_by_one(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(layout: Layout, *asked: Any) -> Any:
        return [(layer, (h + 1) % layout.n_heads) for layer, h in strongest(layout, *asked)]

    monkeypatch.setattr("steering.methods.function_vector.strongest", shifted)
    assert failed(evaluator) == {"fv:default"}


def test_a_flipped_sign(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Fitter._make

    def flipped(self: Fitter, *asked: object) -> Fitted:
        fitted = make(self, *asked)  # type: ignore[arg-type]
        return Fitted(-fitted.vector, fitted.seconds)

    monkeypatch.setattr(Fitter, "_make", flipped)
    assert failed(evaluator) == {"fv:default"}


def test_another_tokenizer(evaluator: Evaluator) -> None:
    normalizer = evaluator.lm.tokenizer.backend_tokenizer.normalizer
    own = [normalizer] if normalizer else []
    reversing = normalizers.Replace("a", "e")
    evaluator.lm.tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([*own, reversing])
    assert "fv:default" in failed(evaluator)


def test_a_dependency_that_changes_numbers(evaluator: Evaluator) -> None:
    """An activation function that a new release of a library approximates otherwise."""
    for block in evaluator.lm.model.model.layers:
        block.mlp.act_fn = torch.nn.ReLU()
    assert "fv:default" in failed(evaluator)
