"""Steering never waits for the device: no value is read back while a model runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from steering import POSITIONS, Edit, SteeringVector, attached_by_row, resolve
from steering.effects import PATHS, best_path
from steering.hooks import capture
from steering.sweep import grid, sweep

READS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")
"""Operations whose result the host has to know before it can go on."""

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 0, 0]])
PROMPTS, ANSWERS = [[5, 6, 7, 8], [9, 8, 7], [3, 4, 5, 6, 7]], [[5], [6, 7], [8]]


class Reads(TorchDispatchMode):
    """Counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            t is not None and t.dtype == torch.bool for t in args[1]
        )
        self.count += name in READS or by_mask
        return func(*args, **(kwargs or {}))


def reads(call: Callable[[], object]) -> int:
    with torch.no_grad():
        call()  # what is done once (probes) is no loop
        with Reads() as seen:
            call()
    return seen.count


def vector(model: Any, positions: str) -> SteeringVector:
    noise = torch.randn(resolve(model).hidden_size)
    kinds = ("add", "norm_preserving_add", "project_out")
    edits = [Edit("mlp_output", layer, kind, noise, positions) for layer, kind in enumerate(kinds)]
    return SteeringVector(tuple(edits), 0.5)


def forward(model: Any) -> Callable[[], object]:
    mask = (IDS > 0).long()
    return lambda: (model(IDS), model(IDS, attention_mask=mask))


def test_the_counter_counts(model: Any) -> None:
    assert reads(lambda: float(model(IDS).logits[0, 0, 0])) > reads(lambda: model(IDS))
    assert reads(lambda: model(IDS).logits[IDS > 5]) > reads(lambda: model(IDS))


@pytest.mark.parametrize("positions", POSITIONS)
def test_steered_forward_passes(model: Any, positions: str) -> None:
    plain = reads(forward(model))
    own = vector(model, positions)
    ends = torch.tensor([2, 1]), torch.tensor([5, 3])
    with own.attached(model) as attachment:
        assert reads(forward(model)) == plain
        with attachment.lengths(*ends):
            assert reads(forward(model)) == plain
    with attached_by_row(model, [own, vector(model, "continuation")]):
        assert reads(forward(model)) == plain


def test_generation(model: Any) -> None:
    def generate(steps: int) -> Callable[[], object]:
        return lambda: model.generate(IDS[:1], max_new_tokens=steps, min_new_tokens=steps)

    plain = [reads(generate(steps)) for steps in (2, 8)]
    with vector(model, "continuation").attached(model):
        assert [reads(generate(steps)) for steps in (2, 8)] == plain


def test_branched_passes_and_captures(model: Any) -> None:
    layout = resolve(model)
    heads = [(la, h) for la in range(layout.n_layers) for h in range(layout.n_heads)]
    means = torch.randn(layout.n_layers, layout.n_heads, layout.head_dim)
    assert best_path(model, PROMPTS) == "staged"
    assert reads(lambda: PATHS["staged"](model, PROMPTS, ANSWERS, heads, means)) == 0
    per_layer = reads(lambda: capture(model, {"input_ids": IDS}, lambda x: x[:, -1]))
    assert per_layer == reads(lambda: model(IDS, use_cache=False))
    edit = Edit("block_output", 0, "add", torch.randn(layout.hidden_size), "continuation")
    cells = grid(SteeringVector((edit,)), range(layout.n_layers), (0.5, 1.0, 2.0))
    once = reads(lambda: sweep(model, PROMPTS, ANSWERS, cells))
    assert once == reads(lambda: sweep(model, PROMPTS[:1], ANSWERS[:1], cells)) == 1
