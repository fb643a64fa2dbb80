"""Heads that carry a task: found by their effects, or published."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from steering.effects import Effects
from steering.errors import BadSetting
from steering.layout import Layout

Heads = tuple[tuple[int, int], ...]
"""(layer, head) of each."""

PUBLISHED: Mapping[tuple[int, int, int], Heads] = {
    (28, 16, 4096): (
        (15, 5), (9, 14), (12, 10), (8, 1), (11, 0), (13, 13), (8, 0), (14, 9), (9, 2), (24, 6),
    ),
    (32, 32, 4096): (
        (14, 1), (11, 2), (9, 25), (12, 15), (12, 28), (13, 7), (11, 18), (12, 18), (16, 10),
        (14, 16),
    ),
}  # fmt: skip
"""Head sets of arXiv:2310.15213 by (layers, heads, hidden size): GPT-J and Llama-2-7B."""


def published(layout: Layout) -> Heads:
    """The paper's heads of a model.

    Raises:
        BadSetting: the paper has no such model.
    """
    shape = (layout.n_layers, layout.n_heads, layout.hidden_size)
    if shape not in PUBLISHED:
        raise BadSetting(
            f"fv: no published heads for {shape[0]} layers of {shape[1]} heads; leave "
            "heads out to find them"
        )
    return PUBLISHED[shape]


def strongest(layout: Layout, effects: Effects, number: int | None) -> list[tuple[int, int]]:
    """The heads of largest mean effect.

    Args:
        layout: The model's.
        effects: Of every head.
        number: How many; None takes ceil(L * H / 51.2), about 2 %.
    """
    every, mean = layout.heads, effects.values.mean(dim=0)
    k = math.ceil(len(every) / 51.2) if number is None else number
    best = mean[tuple(torch.tensor(every).T)].topk(min(k, len(every))).indices.tolist()
    return [every[index] for index in best]
