"""Logistic probes on activations (scikit-learn, C = 1, no randomness)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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

    probe: Any = LogisticRegression(max_iter=1000, fit_intercept=intercept)
    probe.fit(rows.double().numpy(), labels.numpy())
    constant = float(probe.intercept_[0]) if intercept else 0.0
    return torch.tensor(probe.coef_[0], dtype=torch.float32), constant


def accuracy(rows: Tensor, labels: Tensor, weights: Tensor, constant: float) -> float:
    """Share of rows (n, d) on the right side of a probe."""
    right = ((rows @ weights + constant) > 0) == labels.bool()
    return float(right.float().mean())
