"""Methods: the contract over the registry, the controls, and mistakes in one line."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from steering import (
    BadExamples,
    BadSetting,
    FunctionVector,
    InContextVector,
    NotFinite,
    RandomHeads,
    RandomVector,
    SteeringError,
    UnknownMethod,
    check_method,
    get,
    names,
    resolve,
)
from steering.method import register
from task_defs import Examples

QUICK: dict[str, dict[str, Any]] = {
    "fv": {"mean_prompts": 6, "effect_prompts": 3, "top_heads": 3},
    "random_heads": {"mean_prompts": 6, "effect_prompts": 3, "top_heads": 3},
    "random_vector": {"of_settings": {"mean_prompts": 6, "effect_prompts": 3}},
}
"""Settings that make a fit small; methods without an entry are tried at their defaults."""


@pytest.mark.parametrize("name", names())
def test_contract(name: str, model: Any, tokenizer: Any, examples: Examples) -> None:
    method = get(name).from_settings(QUICK.get(name, {}))
    failed = [
        check for check, holds in check_method(method, model, tokenizer, examples) if not holds
    ]
    assert not failed


def test_the_contract_notices_a_method_that_changes_the_model(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Spoiler(InContextVector):
        name = "spoiler"

        def fit(self, model: Any, tokenizer: Any, examples: Examples) -> Any:
            vector = super().fit(model, tokenizer, examples)
            with torch.no_grad():
                model.lm_head.weight[5, 0] += 1.0
            return vector

    before = model.lm_head.weight.detach().clone()
    checks = dict(check_method(Spoiler(), model, tokenizer, examples))
    with torch.no_grad():
        model.lm_head.weight.copy_(before)
    assert not checks["fit leaves the model bit-identical"]
    assert checks["save and load agree"]


def test_random_vector_has_the_norm_and_place_of_its_method(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    settings = {"coefficient": 0.3, "last_k": 2}
    matched = InContextVector.from_settings(settings).fit(model, tokenizer, examples)
    control = RandomVector(of="icv", of_settings=settings).fit(model, tokenizer, examples)
    assert control.coefficient == matched.coefficient
    for mine, theirs in zip(control.edits, matched.edits, strict=True):
        assert dataclasses.replace(mine, tensor=theirs.tensor) is not theirs
        assert (mine.site, mine.layer, mine.operation, mine.positions) == (
            theirs.site, theirs.layer, theirs.operation, theirs.positions,
        )  # fmt: skip
        assert float(mine.tensor.norm()) == pytest.approx(float(theirs.tensor.norm()), rel=1e-5)
        cosine = torch.cosine_similarity(mine.tensor, theirs.tensor, dim=0)
        assert abs(float(cosine)) < 0.7
    other = RandomVector(of="icv", of_settings=settings, seed=1).fit(model, tokenizer, examples)
    assert not torch.equal(other.edits[0].tensor, control.edits[0].tensor)


def test_random_heads_are_as_many_other_heads(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    settings = QUICK["fv"]
    chosen = FunctionVector(**settings).fit(model, tokenizer, examples).provenance["heads"]
    drawn = RandomHeads(**settings).fit(model, tokenizer, examples).provenance["heads"]
    assert len(drawn) == len(chosen) == 3
    assert not {tuple(head) for head in drawn} & {tuple(head) for head in chosen}


def test_function_vector_is_the_sum_of_what_its_heads_write(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    vector = FunctionVector(**QUICK["fv"]).fit(model, tokenizer, examples)
    from steering.activations import mean_head_activations
    from steering.prompts import correct_prompts

    layout = resolve(model)
    means = mean_head_activations(model, tokenizer, correct_prompts(examples, 6))
    expected = torch.zeros(layout.hidden_size)
    for layer, head in vector.provenance["heads"]:
        weight = model.model.layers[layer].self_attn.o_proj.weight
        padded = torch.zeros(weight.shape[1])
        padded[head * layout.head_dim : (head + 1) * layout.head_dim] = means[layer, head]
        expected += weight.detach() @ padded
    torch.testing.assert_close(vector.edits[0].tensor, expected, atol=1e-5, rtol=1e-5)


def test_fit_draws_on_nothing_but_its_seed(model: Any, tokenizer: Any, examples: Examples) -> None:
    torch.manual_seed(1)
    first = FunctionVector(**QUICK["fv"]).fit(model, tokenizer, examples)
    torch.manual_seed(2)
    again = FunctionVector(**QUICK["fv"]).fit(model, tokenizer, examples)
    other = FunctionVector(**QUICK["fv"], seed=5).fit(model, tokenizer, examples)
    assert torch.equal(first.edits[0].tensor, again.edits[0].tensor)
    assert not torch.equal(first.edits[0].tensor, other.edits[0].tensor)


@pytest.mark.parametrize(
    ("method", "error", "expected"),
    [
        (FunctionVector(shots=30), BadExamples, "20 pairs, expected more than 30"),
        (FunctionVector(layer=7, **QUICK["fv"]), BadSetting, "layer 7, expected 0 to 2"),
        (FunctionVector(heads="published"), BadSetting, "no published heads for 3 layers"),
    ],
)
def test_mistakes(
    method: Any, error: type[Exception], expected: str, model: Any, tokenizer: Any,
    examples: Examples,
) -> None:  # fmt: skip
    with pytest.raises(error, match=expected) as caught:
        method.fit(model, tokenizer, examples)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [FunctionVector(**QUICK["fv"]), InContextVector()])
def test_nan_activations_are_refused(
    method: Any, model: Any, tokenizer: Any, examples: Examples
) -> None:
    weight = model.model.layers[0].mlp.down_proj.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] = float("nan")
    try:
        with pytest.raises(NotFinite, match="NaN"):
            method.fit(model, tokenizer, examples)
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_settings_are_checked_by_name_and_type() -> None:
    with pytest.raises(BadSetting, match="Did you mean 'layer'"):
        FunctionVector.from_settings({"layr": 3})
    with pytest.raises(BadSetting, match="expected int"):
        FunctionVector.from_settings({"mean_prompts": "many"})
    with pytest.raises(BadSetting):
        InContextVector.from_settings({"direction": "sideways"})
    assert FunctionVector.from_settings({"heads": [[1, 2]]}).heads == ((1, 2),)


def test_the_registry_knows_near_misses_and_refuses_a_taken_name() -> None:
    with pytest.raises(UnknownMethod, match="Did you mean 'icv'"):
        get("icvv")

    class Impostor(InContextVector):
        name = "fv"

    with pytest.raises(SteeringError, match="is taken"):
        register(Impostor)
    assert get("fv") is FunctionVector


@pytest.mark.parametrize(
    ("name", "settings"),
    [("ablation", {"targets": (5,), "validation": 100}), ("iti", {"validation": 1.0})],
)
def test_what_is_kept_back_must_leave_something_to_fit_on(
    name: str, settings: dict[str, Any], model: Any, tokenizer: Any, examples: Examples
) -> None:
    with pytest.raises(BadExamples, match=r"letters: 20 questions, of which \d+ are kept back"):
        get(name).from_settings(settings).fit(model, tokenizer, examples)
