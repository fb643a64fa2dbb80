"""Directions of differences, the rules that fix their sign, and maps of single neurons.

Shapes: differences (n, d), one row for each pair, desired minus undesired.
"""

from __future__ import annotations

import torch
from torch import Tensor


def unit(v: Tensor) -> Tensor:
    """V at norm 1; zero stays zero."""
    length: Tensor = v.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return v / length


def first_component(rows: Tensor, *, centred: bool) -> Tensor:
    """The direction of largest variance (centred) or of largest second moment, unit, (d).

    Its largest entry is positive, as scikit-learn leaves it: where the rule for the sign ends in a
    tie, this is what stands.
    """
    wide = rows.double()
    if centred:
        wide = wide - wide.mean(dim=0)
    component: Tensor = torch.linalg.svd(wide, full_matrices=False).Vh[0]
    return upright(component).float()


def leading_component(centred: Tensor) -> Tensor:
    """The first right singular vector, its sign set as scikit-learn's svd_flip sets it, (d)."""
    u, _, vh = torch.linalg.svd(centred.double(), full_matrices=False)
    component: Tensor = vh[0] * torch.sign(u[u[:, 0].abs().argmax(), 0])
    return component.float()


def by_majority(direction: Tensor, differences: Tensor) -> Tensor:
    """The sign under which most pairs have the desired text further along (a tie keeps it)."""
    along = torch.sign(differences.double() @ direction.double()).sum()
    return -direction if along < 0 else direction


def by_mean(direction: Tensor, differences: Tensor) -> Tensor:
    """The sign under which the mean difference points along."""
    return -direction if differences.double().mean(dim=0) @ direction.double() < 0 else direction


def upright(direction: Tensor) -> Tensor:
    """The sign under which the largest entry is positive."""
    return direction * torch.sign(direction[direction.abs().argmax()])


def optimal_map(
    source: Tensor, target: Tensor, *, linear: bool, everywhere: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """The map of every neuron from one sample to another (arXiv:2410.23054).

    Args:
        source: (n, d).
        target: (n, d).
        linear: Fit a slope by least squares on the sorted samples; else it is 1.
        everywhere: Give the map no range; else it is that of the source.

    Returns:
        The shift (d) and the parameters of `operations.transport`.
    """
    x, y = source.sort(dim=0).values, target.sort(dim=0).values
    centre, shift = x.mean(dim=0), y.mean(dim=0) - x.mean(dim=0)
    slope, low, high = torch.ones_like(centre), x[0], x[-1]
    if linear:
        a, b = x - centre, y - y.mean(dim=0)
        slope = (a * b).sum(dim=0) / a.square().sum(dim=0).clamp_min(1e-12)
    if everywhere:
        widest = torch.finfo(x.dtype).max
        low, high = torch.full_like(low, -widest), torch.full_like(high, widest)
    return shift, {"centre": centre, "slope": slope, "low": low, "high": high}
