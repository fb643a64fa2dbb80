"""Vectors that the formats are tried with, and what a model says under them."""

from __future__ import annotations

from typing import Any

import torch

from steering import Edit, SteeringVector

WIDTH = 32
FOREIGN = {
    "lm_eval": "a.pt", "gguf": "a.gguf", "glp": "b.gguf", "caa": "caa", "persona": "p.pt",
    "svec": "a.svec", "steering_vectors": "s.pt",
}  # fmt: skip


def vector(
    *layers: int, coefficient: float = 1.7, dtype: Any = torch.float32, **more: Any
) -> SteeringVector:
    """Random edits; by default they add to block outputs at all tokens."""
    torch.manual_seed(sum(layers))
    settings = {"site": "block_output", "operation": "add", **more}
    edits = [Edit(layer=i, tensor=torch.randn(WIDTH).to(dtype), **settings) for i in layers]
    return SteeringVector(tuple(edits), coefficient)


@torch.no_grad()
def logits(model: Any, steering: SteeringVector | None = None) -> torch.Tensor:
    """Logits of four tokens."""
    ids = torch.tensor([[5, 6, 7, 8]], device=model.device)
    if steering is None:
        return model(ids, use_cache=False).logits
    with steering.attached(model):
        return model(ids, use_cache=False).logits
