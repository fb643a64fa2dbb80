"""Controls match any method: random directions at its place, or its own fit on shuffled labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from harness.measuring.spec import parse_arms
from steering import Edit, RandomVector, SteeringMethod, SteeringVector, get, names
from steering.contrast import ContrastiveMethod, draw
from steering.methods.shuffled_fit import Mislabelled, ShuffledFit
from steering.operations import AXES, GATED, OPERATIONS
from task_defs import Examples
from tests.steering.test_operations import WITH

CONTRASTIVE = [
    name for name in names() if issubclass(get(name), ContrastiveMethod) or name == "icv"
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_random_vector_for_every_operation(
    operation: str, model: Any, tokenizer: Any, examples: Examples, monkeypatch: Any
) -> None:
    parameters = {
        key: torch.full((*value.shape[:-1], 32), float(value.flatten()[0]))
        if isinstance(value, torch.Tensor) and key != "borders"
        else value
        for key, value in WITH.get(operation, {}).items()
    }
    torch.manual_seed(1)
    tensor = torch.randn(2, 32) if AXES.get(operation) else torch.randn(32)
    edit = Edit("block_output", 1, operation, tensor, "all", parameters=parameters)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class One(SteeringMethod):
        name = "one"

        @classmethod
        def search_space(cls, shape: Any) -> Any:
            return {}

        def fit(self, model: Any, tokenizer: Any, examples: Any) -> SteeringVector:
            return self.vector([edit], model, examples, coefficient=0.7)

    monkeypatch.setattr("steering.methods.random_vector.get", lambda name: One)
    found = RandomVector(of="one").fit(model, tokenizer, examples)
    (control,) = found.edits
    control.check()
    assert found.coefficient == 0.7
    assert dataclasses.replace(control, tensor=tensor).positions == edit.positions
    torch.testing.assert_close(control.tensor.norm(dim=-1), tensor.norm(dim=-1))
    assert set(control.parameters) == set(edit.parameters)
    assert all(control.parameters[key] is value for key, value in edit.parameters.items())
    assert torch.equal(control.tensor, tensor) == (operation == "condition")
    ids = torch.arange(9)[None] + 5
    with torch.no_grad():
        plain = model(ids).logits
        with found.attached(model):
            moved = model(ids).logits
    assert operation in GATED or not torch.equal(plain, moved)
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_a_shuffled_fit_for_every_contrastive_method(
    name: str, model: Any, tokenizer: Any, examples: Examples
) -> None:
    settings = {"conditional": False} if name == "cast" else {}
    true = get(name).from_settings(settings).fit(model, tokenizer, examples)
    control = ShuffledFit(of=name, of_settings=settings, seed=2).fit(model, tokenizer, examples)
    again = ShuffledFit(of=name, of_settings=settings, seed=2).fit(model, tokenizer, examples)
    assert control.provenance["method"] == "shuffled_fit"
    assert control.coefficient == true.coefficient
    pairs = list(zip(control.edits, again.edits, strict=True))
    assert all(torch.equal(a.tensor, b.tensor) for a, b in pairs)
    differ = {
        float((a.tensor - b.tensor).abs().max()) > 1e-4
        for a, b in zip(true.edits, control.edits, strict=False)
        if a.tensor.shape == b.tensor.shape
    }
    assert True in differ or name == "actadd"  # one pair may keep its labels


@pytest.mark.parametrize("kind", ["pairs", "off_task"])
def test_shuffled_labels_are_the_same_texts_and_say_nothing(kind: Any, examples: Examples) -> None:
    mixed: Any = Mislabelled(examples, 4)
    turned = 0
    for right, wrong in draw(mixed, kind, None, 0):
        if kind == "pairs":
            assert {right[0].whole, wrong[0].whole} <= {
                text for pair in examples.pairs for text in pair
            }
        turned += len(right[0].whole) < len(wrong[0].whole)  # y is longer than x
    if kind == "pairs":
        assert 4 <= turned <= 16
    assert sorted(y for _, y in mixed.pairs) == sorted(y for _, y in examples.pairs)
    assert [x for x, _ in mixed.pairs] == [x for x, _ in examples.pairs]
    assert sum(a == b for a, b in zip(mixed.pairs, examples.pairs, strict=True)) < 5
    assert mixed.fingerprint() != examples.fingerprint()


def test_a_shuffled_fit_is_an_arm_beside_every_method() -> None:
    arms = parse_arms(["caa", "icv", "shuffled_fit", "random_vector:caa"], names())
    assert [arm.name for arm in arms] == [
        "caa", "icv", "shuffled_fit:caa", "shuffled_fit:icv", "random_vector:caa",
    ]  # fmt: skip
    assert arms[2].matched == arms[2].tuned == "caa"
