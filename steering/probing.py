"""Logistic probes on activations (scikit-learn, C = 1, no randomness)."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from steering.layout import Layout
from steering.memo import recall


def logistic(rows: Tensor, labels: Tensor, *, intercept: bool = True) -> tuple[Tensor, float]:
    """Fit a logistic regression.

    Args:
        rows: (n, d).
        labels: 1 and 0 (n).
        intercept: Fit one.

    Returns:
        Weights (d) and intercept.
    """
    from sklearn.linear_model import LogisticRegression

    data = rows.double().numpy(), labels.numpy()

    def compute() -> Tensor:
        probe: Any = LogisticRegression(max_iter=1000, fit_intercept=intercept)
        probe.fit(*data)
        constant = probe.intercept_ if intercept else [0.0]
        return torch.tensor([*probe.coef_[0], *constant], dtype=torch.float64)

    content = tuple(hashlib.sha256(part.tobytes()).hexdigest() for part in data)
    found = recall(("logistic", rows.shape, content, intercept), compute)
    return found[:-1].float(), float(found[-1])


def accuracy(rows: Tensor, labels: Tensor, weights: Tensor, constant: float) -> float:
    """Share of rows (n, d) on the right side of a probe."""
    right = ((rows @ weights + constant) > 0) == labels.bool()
    return float(right.float().mean())


def of_head(layout: Layout, states: Tensor, layer: int, head: int) -> Tensor:
    """One head (n, d_h) of what was read at head_output (n, l, h * d_h)."""
    row, width = layout.layers("head_output").index(layer), layout.head_dims[layer]
    return states[:, row, head * width : (head + 1) * width]


def ranked(
    layout: Layout, train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]
) -> list[tuple[float, int, int, Tensor]]:
    """Heads by how well a probe of theirs tells answers kept back apart, the best first.

    Args:
        layout: The model's.
        train: What the probes are fitted on (n, l, h * d_h), and labels 1 and 0 (n).
        held: What they are tried on, and its labels.

    Returns:
        Accuracy, layer, head and the probe's weights (d_h) of each.
    """
    found = []
    for layer, head in layout.heads:
        weights, constant = logistic(of_head(layout, train[0], layer, head), train[1])
        own = of_head(layout, held[0], layer, head)
        found.append((accuracy(own, held[1], weights, constant), layer, head, weights))
    return sorted(found, key=lambda each: -each[0])
