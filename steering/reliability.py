"""How far a fit's contrasts agree, known before anything is steered.

    cosine       mean over pairs i < j of cos(D_i, D_j),   D_i = desired_i - undesired_i
    separation   (mean p+ - mean p-) / sqrt((var p+ + var p-) / 2),   p = h . direction

Sources: Tan et al. 2024, arXiv:2407.12404 (differences that agree steer); Braun et al. 2025,
arXiv:2505.22637 (agreement and the discriminability along the direction, d').
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def reliability(
    desired: Tensor | Sequence[Tensor],
    undesired: Tensor | Sequence[Tensor],
    directions: Tensor | Sequence[Tensor],
) -> dict[str, float | int | None]:
    """Sum up the contrasts at the places that are read: means over them.

    Args:
        desired: Activations of desired texts, for each of p places (n, d).
        undesired: The same of undesired ones (m, d); the i-th belongs to the i-th desired one
            where there are as many.
        directions: The direction at each place (d), at any length.

    Returns:
        `cosine` (None where texts have no partners), `separation` (None where nothing varies or
        the direction is zero) and the number of `pairs`, as JSON.
    """
    cosines, separations = [], []
    for wanted, unwanted, direction in zip(desired, undesired, directions, strict=True):
        if len(wanted) == len(unwanted):
            cosines.append(_cosine(wanted.double() - unwanted.double()))
        along = F.normalize(direction.double(), dim=0)
        separations.append(_separation(wanted.double() @ along, unwanted.double() @ along))
    pairs = min(len(desired[0]), len(undesired[0]))
    return {"cosine": _mean(cosines), "separation": _mean(separations), "pairs": pairs}


def _cosine(differences: Tensor) -> float:
    n = len(differences)
    if n < 2:
        return math.nan
    total = F.normalize(differences, dim=1).sum(dim=0)
    return float((total @ total - n) / (n * (n - 1)))


def _separation(desired: Tensor, undesired: Tensor) -> float:
    if min(len(desired), len(undesired)) < 2:
        return math.nan
    spread = ((desired.var() + undesired.var()) / 2).sqrt()
    return float((desired.mean() - undesired.mean()) / spread) if spread > 0 else math.nan


def _mean(values: Sequence[float]) -> float | None:
    mean = sum(values) / len(values) if values else math.nan
    return round(mean, 6) if math.isfinite(mean) else None
