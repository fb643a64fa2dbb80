"""Vectors as biases: the logits of the hooks, and the very same parameters afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from steering import BadVector, Edit, SteeringVector, resolve
from tests.harness.zoo import CONFIGS, save

NORMED = {"gemma2", "gemma3", "olmo2"}
"""A norm follows the projection and the MLP."""

EXPERTS = {"mixtral", "gpt_oss"}
"""The MLP ends in experts."""


@pytest.fixture(scope="module", params=CONFIGS)
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    folder = save(request.param, Path(tmp_path_factory.mktemp(request.param)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return request.param, model


def vector(model: Any, site: str = "block_output", **more: Any) -> SteeringVector:
    noise = torch.randn(resolve(model).hidden_size, generator=torch.Generator().manual_seed(0))
    return SteeringVector((Edit(site, 1, "add", noise, **more),), 0.5)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([[5, 9, 4, 7]]), use_cache=False).logits
    return found


@pytest.mark.parametrize("site", ["block_output", "attn_output", "mlp_output"])
def test_a_folded_vector_is_the_attached_one_or_refused(named: Any, site: str) -> None:
    name, model = named
    steered, plain = vector(model, site), logits(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with steered.attached(model):
        expected = logits(model)
    normed = name in NORMED and site == "block_output"
    if normed or (name in EXPERTS and site != "attn_output"):
        with (
            pytest.raises(BadVector, match="leave out fold=True"),
            steered.attached(model, fold=True),
        ):
            pass
    else:
        with steered.attached(model, fold=True):
            torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits(model), plain)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_what_is_not_constant_is_refused(named: Any) -> None:
    model = named[1]
    with (
        pytest.raises(BadVector, match="add at all positions"),
        vector(model, positions="continuation").attached(model, fold=True),
    ):
        pass


def test_an_exception_restores_the_model(named: Any) -> None:
    model = named[1]
    plain = logits(model)
    with pytest.raises(ZeroDivisionError), vector(model, "attn_output").attached(model, fold=True):
        raise ZeroDivisionError
    assert torch.equal(logits(model), plain)


def test_a_folded_model_compiles_whole(model: Any) -> None:
    """No hook breaks its graph: what CUDA graphs and torch.compile need."""
    with vector(model, "attn_output").attached(model, fold=True):
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        ids = torch.tensor([[5, 9, 4, 7]])
        with torch.no_grad():
            found = compiled(ids, use_cache=False).logits
        torch.testing.assert_close(found, logits(model), atol=1e-5, rtol=1e-5)
