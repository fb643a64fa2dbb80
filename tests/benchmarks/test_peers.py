"""Other libraries, where they are installed: the same edit, equal logits first, then the time."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch

from steering import Edit, SteeringVector
from tests.benchmarks.conftest import DEVICE, Clock, ids

LAYER = 3


def change() -> torch.Tensor:
    return torch.randn(768, generator=torch.Generator().manual_seed(0))


def ours(model: Any) -> AbstractContextManager[Any]:
    return SteeringVector((Edit("block_output", LAYER, "add", change()),)).attached(model)


def steering_vectors(model: Any) -> AbstractContextManager[Any]:
    library = pytest.importorskip("steering_vectors")
    vector = library.SteeringVector({LAYER: change().to(DEVICE)}, "decoder_block")
    found: AbstractContextManager[Any] = vector.apply(model)
    return found


@pytest.mark.benchmark(group="peers: one added vector, 12 x 12, 8 rows of 64 tokens")
@pytest.mark.parametrize("peer", ["plain", "steergauge", "steering-vectors"])
@torch.no_grad()
def test_forward(clock: Clock, small: Any, peer: str) -> None:
    rows = torch.tensor([ids(64, seed) for seed in range(8)], device=DEVICE)

    def forward() -> torch.Tensor:
        logits: torch.Tensor = small(rows, use_cache=False, logits_to_keep=1).logits
        return logits

    makers = {"steergauge": ours, "steering-vectors": steering_vectors}
    with ours(small):
        expected = forward()
    with makers[peer](small) if peer in makers else nullcontext():
        if peer != "plain":
            torch.testing.assert_close(forward(), expected, atol=1e-4, rtol=1e-4)
        clock(forward, baseline=peer == "plain")
