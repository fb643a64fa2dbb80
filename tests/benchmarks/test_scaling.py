"""Cost against L * H, prompt length and batch: the curves of the report."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from steering import Edit, SteeringVector, resolve
from steering.effects import PATHS
from tests.benchmarks.conftest import DEVICE, Clock, ids, shaped


def effects(model: Any, path: str, tokens: int) -> None:
    layout = resolve(model)
    heads = [(la, h) for la in range(layout.n_layers) for h in range(layout.n_heads)]
    means = torch.randn(layout.n_layers, layout.n_heads, layout.head_dim)
    PATHS[path](model, [ids(tokens)], [ids(1)], heads, means)


@pytest.mark.benchmark(group="AIE by number of heads")
@pytest.mark.parametrize("heads", [3, 6, 12])
@pytest.mark.parametrize("path", ["naive", "staged"])
def test_heads(clock: Clock, path: str, heads: int) -> None:
    model = shaped(12, heads)
    clock(
        lambda: effects(model, path, 100),
        baseline=(path, heads) == ("naive", 12),
        rounds=1 if path == "naive" else 5,
        against=("L * H", 12 * heads, path),
    )


@pytest.mark.benchmark(group="AIE by prompt length")
@pytest.mark.parametrize("tokens", [25, 100, 400])
@pytest.mark.parametrize("path", ["cached_prefix", "staged"])
def test_prompt_length(clock: Clock, small: Any, path: str, tokens: int) -> None:
    clock(
        lambda: effects(small, path, tokens),
        baseline=(path, tokens) == ("cached_prefix", 400),
        rounds=5,
        against=("prompt tokens", tokens, path),
    )


@pytest.mark.benchmark(group="forward pass by batch")
@pytest.mark.parametrize("batch", [1, 8, 32])
@pytest.mark.parametrize("kind", ["plain", "steered"])
@torch.no_grad()
def test_batch(clock: Clock, small: Any, kind: str, batch: int) -> None:
    rows = torch.tensor([ids(64, seed) for seed in range(batch)], device=DEVICE)
    vector = SteeringVector((Edit("block_output", 3, "add", torch.ones(768)),))
    with vector.attached(small, 0.0 if kind == "plain" else 1.0):
        clock(
            lambda: small(rows, use_cache=False, logits_to_keep=1),
            baseline=(kind, batch) == ("plain", 32),
            rounds=5,
            against=("rows", batch, kind),
        )
