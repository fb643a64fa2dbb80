"""Planted regressions against the committed baseline of the built-in model: each turns it red."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import normalizers

import steering.methods.function_vector as function_vector
from harness.evals import Asked, Bench
from harness.fit import Fitted, Fitter
from reports import baseline
from reports.gate import Rule, judge

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ASKED = Asked(tasks=("country-capital",), arms=("zero_shot", "fv"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("reference", {}, tmp_path)


def failed(bench: Bench) -> set[str]:
    """The arms at which the gate is red."""
    records = bench.measure(ASKED, ASKED.tasks, [arm for _, arm, _ in ASKED.cases()])
    found = baseline.cases(records)
    known = baseline.read(ROOT / "baselines" / "reference.json")
    verdicts = judge({name: known[name] for name in found}, found, Rule())
    return {verdict.case.split()[2] for verdict in verdicts if verdict.failed}


def test_unchanged_code_is_green(bench: Bench) -> None:
    assert failed(bench) == set()


def test_a_head_index_off_by_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(index: int, n_heads: int) -> tuple[int, int]:
        layer, head = divmod(index, n_heads)
        return layer, (head + 1) % n_heads

    monkeypatch.setattr(function_vector, "divmod", shifted, raising=False)
    assert failed(bench) == {"fv"}


def test_a_flipped_sign(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Fitter._make

    def flipped(self: Fitter, *asked: object) -> Fitted:
        fitted = make(self, *asked)  # type: ignore[arg-type]
        return Fitted(-fitted.vector, fitted.seconds)

    monkeypatch.setattr(Fitter, "_make", flipped)
    assert failed(bench) == {"fv"}


def test_another_tokenizer(bench: Bench) -> None:
    normalizer = bench.lm.tokenizer.backend_tokenizer.normalizer
    own = [normalizer] if normalizer else []
    reversing = normalizers.Replace("a", "e")
    bench.lm.tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([*own, reversing])
    assert "fv" in failed(bench)


def test_a_dependency_that_changes_numbers(bench: Bench) -> None:
    """An activation function that a new release of a library approximates otherwise."""
    for block in bench.lm.model.model.layers:
        block.mlp.act_fn = torch.nn.ReLU()
    assert "fv" in failed(bench)
