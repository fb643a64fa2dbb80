"""Every head's effect: the fast paths against one plain forward pass per head."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPTNeoConfig,
    GPTNeoForCausalLM,
)

from steering import indirect_effects, mean_head_activations, resolve
from steering.effects import PATHS, best_path
from tests.harness.zoo import CONFIGS, made, save

PROMPTS = ("Q: a\nA: B\n\nQ: c\nA:", "Q: hot\nA: dloc\n\nQ: big\nA: llams\n\nQ: up\nA:", "Q: x\nA:")
ANSWERS = (" D", " down", " yes")


@pytest.fixture(scope="module", params=CONFIGS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    folder = save(request.param, Path(tmp_path_factory.mktemp(request.param)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("target", ["first_token", "sequence"])
def test_fast_paths_equal_the_naive_loop(loaded: Any, target: Any) -> None:
    model, tokenizer = loaded
    if target == "sequence":  # a log-probability of 10 is known to 1e-6 in float32, and no better
        model = copy.deepcopy(model).double()
        model.set_experts_implementation("eager")  # the fused one takes no float64
    means = mean_head_activations(model, tokenizer, PROMPTS)
    naive = indirect_effects(
        model, tokenizer, PROMPTS, ANSWERS, means, path="naive", target=target
    ).values
    assert naive.abs().max() > 1e-4, "an effect that is nowhere proves nothing"
    fast = ["staged", "branching"]
    path = best_path(model, [tokenizer.encode(prompt) for prompt in PROMPTS])
    branching = fast[fast.index(path) :] if path in fast else []
    for path in ("cached_prefix", *branching):
        found = indirect_effects(
            model, tokenizer, PROMPTS, ANSWERS, means, path=path, target=target
        )
        assert (found.values - naive).abs().max().item() <= 1e-6, path


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_loses_no_path(loaded: Any, dtype: torch.dtype) -> None:
    model, tokenizer = loaded
    prompts = [tokenizer.encode(prompt) for prompt in PROMPTS]
    assert best_path(copy.deepcopy(model).to(dtype), prompts) == best_path(model, prompts)


def test_mean_head_activations_are_what_the_projection_reads(loaded: Any) -> None:
    model, tokenizer = loaded
    layout = resolve(model)
    seen: list[list[torch.Tensor]] = [[] for _ in range(layout.n_layers)]
    handles = [
        projection.register_forward_pre_hook(
            lambda _module, inputs, kept=kept: kept.append(inputs[0][0, -1].clone())
        )
        for projection, kept in zip(layout.projections, seen, strict=True)
    ]
    for prompt in PROMPTS:
        with torch.no_grad():
            model(torch.tensor([tokenizer.encode(prompt)]), use_cache=False)
    for handle in handles:
        handle.remove()
    expected = torch.stack([torch.stack(kept).mean(dim=0) for kept in seen])
    found = mean_head_activations(model, tokenizer, PROMPTS)
    torch.testing.assert_close(found.flatten(1), expected, atol=1e-5, rtol=1e-5)


def test_most_architectures_take_the_fastest_path(tmp_path: Path) -> None:
    """Where a model stops branching, its effects are still right but slow: to be noticed."""
    slow = set()
    for name in CONFIGS:
        model = AutoModelForCausalLM.from_pretrained(save(name, tmp_path / name))
        if best_path(model.eval(), [[1] * 20]) != "staged":
            slow.add(name)
    assert slow <= {"bloom", "mpt"}


NARROW: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": 4}, "gemma3": {"sliding_window": 4},
    "mistral": {"sliding_window": 4}, "mixtral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "gpt_oss": {"sliding_window": 4}, "phi3": {"sliding_window": 4},
    "starcoder2": {"sliding_window": 4},
}  # fmt: skip
LONG = [[5 + i for i in range(14)], [9, 4, 6] * 3, [7, 8]]


@pytest.mark.parametrize("name", NARROW)
def test_prompts_longer_than_a_sliding_window(name: str) -> None:
    model = made(name, **NARROW[name]).double()
    model.set_experts_implementation("eager")  # the fused one takes no float64
    layout = resolve(model)
    heads = [(la, h) for la in range(layout.n_layers) for h in range(layout.n_heads)]
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(
        layout.n_layers, layout.n_heads, layout.head_dim, generator=generator
    ).double()
    assert best_path(model, LONG) == "staged"
    answers = [[5], [6, 7, 8], [3]]
    naive = PATHS["naive"](model, LONG, answers, heads, means)
    for path in ("staged", "branching", "cached_prefix"):
        for one, other in zip(PATHS[path](model, LONG, answers, heads, means), naive, strict=True):
            assert (one - other).abs().max().item() <= 1e-6, path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_window_that_nobody_states_is_found_by_the_probe(dtype: torch.dtype) -> None:
    """GPT-Neo cuts its windows inside the attention, by index."""
    config = GPTNeoConfig(
        hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        window_size=32, max_position_embeddings=128, vocab_size=60,
    )  # fmt: skip
    model = GPTNeoForCausalLM(config).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    model.to(dtype)
    assert best_path(model, [[1] * 6]) == "staged"
    assert best_path(model, [[1] * 60]) == "cached_prefix"
