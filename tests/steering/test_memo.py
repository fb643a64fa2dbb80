"""What fits of a block share changes none of them, whatever each does with what it gets."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForCausalLM

from steering import get, names, remembering
from steering.activations import last_token_hidden_states
from steering.edit import Edit
from steering.memo import recall
from steering.probing import logistic
from task_defs import Examples

QUICK: dict[str, dict[str, Any]] = {
    "fv": {"mean_prompts": 6, "effect_prompts": 3},
    "fv_distributed": {"mean_prompts": 6, "effect_prompts": 3},
    "instruction_fv": {"mean_prompts": 6, "effect_prompts": 3},
    "learned": {"steps": 3},
}
METHODS = [name for name in names() if not get(name).control]


def test_no_method_changes_what_another_one_reads(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    def tensors(name: str) -> list[torch.Tensor]:
        method = get(name).from_settings(QUICK.get(name, {}))
        return [edit.tensor for edit in method.fit(model, tokenizer, examples).edits]

    alone = {name: tensors(name) for name in METHODS}
    with remembering():
        for name in [*METHODS, *METHODS]:  # before and after every other one
            for own, shared in zip(alone[name], tensors(name), strict=True):
                assert torch.equal(own, shared), name


def test_what_is_recalled_is_computed_once_and_is_the_callers_own() -> None:
    calls = []

    def compute() -> torch.Tensor:
        calls.append(1)
        return torch.ones(2)

    with remembering():
        for _ in range(3):
            found = recall("key", compute)
            assert torch.equal(found, torch.ones(2))
            found += 1
    assert len(calls) == 1


def test_what_is_recalled_is_of_the_model_as_it_is(
    folder: Path, tokenizer: Any, examples: Examples
) -> None:
    def read(model: Any, tokenizer: Any = tokenizer) -> torch.Tensor:
        return last_token_hidden_states(model, tokenizer, ["one", "two"])

    def fresh() -> Any:
        return AutoModelForCausalLM.from_pretrained(folder)

    model = fresh()
    with remembering() as memory:
        plain = read(model)
        assert torch.equal(read(model), plain)
        assert len(memory.results) == 1
        vector = get("caa")().fit(model, tokenizer, examples)
        with vector.attached(model):
            assert not torch.equal(read(model), plain)
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.mul_(2)
        assert not torch.equal(read(model), plain)
        for _ in range(3):  # one after the other, perhaps at one place in memory
            del model
            model = fresh()
            assert torch.equal(read(model), plain)
        other = copy.deepcopy(tokenizer)
        other.add_tokens(["one", "two"])
        model.resize_token_embeddings(len(other))
        assert not torch.equal(read(model, other), plain)


def test_probes_of_the_same_states_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = torch.randn(12, 3, generator=torch.manual_seed(0)), torch.tensor([0, 1] * 6)
    fits: list[int] = []
    plain = LogisticRegression.fit

    def counted(self: Any, *data: Any) -> Any:
        fits.append(1)
        return plain(self, *data)

    alone = logistic(rows, labels)
    monkeypatch.setattr(LogisticRegression, "fit", counted)
    with remembering():
        for _ in range(3):
            weights, constant = logistic(rows.clone(), labels)
            assert torch.equal(weights, alone[0])
            assert constant == alone[1]
            weights.zero_()
        assert len(fits) == 1
        logistic(rows, labels, intercept=False)
        logistic(rows + 1, labels)
        logistic(rows, 1 - labels)
    assert len(fits) == 4


def test_a_vector_keeps_none_of_its_fit_alive(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    """A row of the texts' activations would hold all of them for as long as the vector lives."""
    for name in METHODS:
        vector = get(name).from_settings(QUICK.get(name, {})).fit(model, tokenizer, examples)
        for tensor in (tensor for edit in vector.edits for tensor in edit.tensors):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes, name


def test_an_edit_owns_its_tensors() -> None:
    rows = torch.arange(12.0).view(3, 4)
    edit = Edit("block_output", 0, "add", rows[1], parameters={"low": rows[2], "angle": 1.0})
    rows.zero_()
    assert edit.tensor.tolist() == [4, 5, 6, 7]
    assert [own.nbytes for own in edit.tensors] == [16, 16]
    whole = torch.ones(4)
    assert Edit("block_output", 0, "add", whole).tensor is whole
