"""The condition that tells two kinds of prompts apart best (arXiv:2409.05907)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from steering.operations import likeness

GRID = tuple(n / 100 for n in range(-100, 101))
"""Thresholds that are tried."""


def best_condition(
    states: Tensor,
    vectors: Tensor,
    layers: Sequence[int],
    thresholds: Sequence[float] = GRID,
    above: Sequence[float] = (1.0, 0.0),
) -> tuple[int, dict[str, float]]:
    """The layer, the threshold and the side of highest F1, the first of equals.

    Args:
        states: Mean activations (n, l, d); those of the first half of the prompts shall meet it.
        vectors: Condition vectors (l, d).
        layers: Layers that are tried.
        thresholds: Thresholds that are tried.
        above: Sides that are tried: 1 is above the threshold, 0 below.
    """
    wanted = torch.arange(len(states)) < len(states) // 2
    found = []
    for layer in layers:
        cosines = likeness(states[:, layer], vectors[layer])
        for threshold, side in itertools.product(thresholds, above):
            met = cosines > threshold if side > 0 else cosines < threshold
            hits = int((met & wanted).sum())
            score = 2 * hits / max(1, int(met.sum()) + int(wanted.sum()))
            found.append((score, layer, threshold, side))
    _, layer, threshold, side = max(found, key=lambda each: each[0])
    return layer, {"threshold": threshold, "above": side}
