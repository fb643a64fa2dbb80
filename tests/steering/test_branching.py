"""Passes are cut to a memory bound, and the cut changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from steering import branching, remembering
from steering.effects import PATHS
from steering.hooks import PART, unembedding_in_parts
from tests.harness.zoo import save


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(save("llama", tmp_path), dtype=torch.float32).eval()


@pytest.mark.parametrize("most", [12, 20, 64])
def test_chunks_give_the_same_numbers(
    model: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    config = model.config
    heads = [(la, h) for la in range(config.num_hidden_layers) for h in range(4)]
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(config.num_hidden_layers, 4, config.head_dim, generator=generator)
    prompts, answers = [[5, 6, 7], [9] * 7, [3], [4, 8]], [[5], [6, 7], [8], [9, 3]]
    expected = PATHS["naive"](model, prompts, answers, heads, means)
    monkeypatch.setattr(branching, "tokens_of_a_pass", lambda _model: most)
    for path in ("staged", "branching"):
        found = PATHS[path](model, prompts, answers, heads, means)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_a_bound_bounds_the_pass(model: Any) -> None:
    free = branching.tokens_of_a_pass(model)
    per_token = 4 * (3 * model.config.vocab_size + 40 * model.config.hidden_size)
    with remembering(300 * per_token):
        assert branching.tokens_of_a_pass(model) == 300
    with remembering(1):
        assert branching.tokens_of_a_pass(model) == branching.FEWEST
    assert branching.tokens_of_a_pass(model) == free


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_large_unembedding_in_parts(model: Any, dtype: torch.dtype) -> None:
    vocabulary = 8 * PART + 77
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    model.lm_head.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    model = model.to(dtype)
    ids = torch.tensor([[5, 6, 7], [8, 9, 5]])
    with torch.no_grad():
        plain, head = model(ids).logits, model.lm_head.forward
        with unembedding_in_parts(model):
            assert model.lm_head.forward != head
            parts = model(ids).logits
    assert parts.shape == (2, 3, vocabulary)
    torch.testing.assert_close(parts, plain)
    assert model.lm_head.forward == head
