"""What heads write through the norm that follows them, against loops and the model's own norm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from steering import BadSetting, FunctionVector, resolve
from steering.activations import mean_head_activations
from steering.post_norm import _frozen, mean_gains
from steering.prompts import correct_prompts
from task_defs import Examples
from tests.harness.tiny import character_tokenizer
from tests.harness.zoo import made

POST_NORM = {"gemma2": 1.0, "gemma3": 1.0, "olmo2": 0.0}
"""Architectures that normalise after the projection, and what their norms add to the weight."""


def normalising(name: str) -> Any:
    """A model whose norms have gains of their own."""
    model = made(name)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for block in model.model.layers:
            weight = block.post_attention_layernorm.weight
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return model


@torch.no_grad()
def ends_of(model: Any, layer: int, prompts: list[str]) -> list[tuple[Tensor, Tensor]]:
    """What a layer's norm gets and gives at the end of each prompt, one after the other."""
    tokenizer, found = character_tokenizer(), []

    def keep(_module: Any, given: Any, result: Tensor) -> None:
        found.append((given[0][0, -1], result[0, -1]))

    handle = model.model.layers[layer].post_attention_layernorm.register_forward_hook(keep)
    for prompt in prompts:
        model(**tokenizer(prompt, return_tensors="pt"))
    handle.remove()
    return found


@pytest.mark.parametrize("name", POST_NORM)
def test_a_vector_of_what_reaches_the_residual_stream(name: str, examples: Examples) -> None:
    model, tokenizer = normalising(name), character_tokenizer()
    heads = ((0, 1), (1, 0), (1, 2))
    settings: dict[str, Any] = {"heads": heads, "mean_prompts": 6, "layer": 1}
    vector = FunctionVector(**settings, post_norm=True).fit(model, tokenizer, examples)
    prompts = correct_prompts(examples, 6)
    means = mean_head_activations(model, tokenizer, prompts)
    expected = torch.zeros(resolve(model).hidden_size)
    for layer, head in heads:
        block = model.model.layers[layer]
        gain = block.post_attention_layernorm.weight.detach() + POST_NORM[name]
        sizes = [float(x.square().mean().sqrt()) for x, _ in ends_of(model, layer, prompts)]
        width = means.shape[-1]
        matrix = block.self_attn.o_proj.weight.detach()[:, head * width : (head + 1) * width]
        expected += gain * (matrix @ means[layer, head]) / (sum(sizes) / len(sizes))
    torch.testing.assert_close(vector.edits[0].tensor, expected, atol=1e-4, rtol=1e-4)
    plain = FunctionVector(**settings).fit(model, tokenizer, examples)
    assert not torch.allclose(plain.edits[0].tensor, expected, atol=1e-2)


@pytest.mark.parametrize("name", POST_NORM)
def test_all_heads_together_are_what_the_norm_gives(name: str) -> None:
    """On one prompt the mean scale is the prompt's own, and the parts make the whole."""
    model, tokenizer, prompt = normalising(name), character_tokenizer(), "Q: a\nA: b"
    gains, layout = mean_gains(model, tokenizer, [prompt]), resolve(model)
    activations = mean_head_activations(model, tokenizer, [prompt])
    for layer in range(layout.n_layers):
        parts = [layout.project(layer, h, activations[layer, h]) for h in range(layout.n_heads)]
        ((_, expected),) = ends_of(model, layer, [prompt])
        found = torch.stack([gains[layer](part) for part in parts]).sum(dim=0)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj"])
def test_a_model_without_such_a_norm_is_said(name: str, examples: Examples) -> None:
    settings: dict[str, Any] = {"heads": ((0, 0),), "mean_prompts": 2, "post_norm": True}
    with pytest.raises(BadSetting, match="adds what attention writes as it is"):
        FunctionVector(**settings).fit(made(name), character_tokenizer(), examples)


def test_a_norm_that_takes_away_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    norm, x = nn.LayerNorm(8), 3 * torch.randn(5, 8, generator=generator) + 1
    with torch.no_grad():
        norm.weight.copy_(torch.randn(8, generator=generator))
        norm.bias.copy_(torch.randn(8, generator=generator))
    step = _frozen(norm, x)
    v = torch.randn(8, generator=generator)
    mean = x.std(dim=-1, correction=0).mean()
    expected = norm.weight * (v - v.mean()) / mean
    torch.testing.assert_close(step(v), expected.detach(), atol=1e-4, rtol=1e-4)
    assert not step(torch.full((8,), 2.0)).any(), "the mean is taken away"
