"""What an edit does to an activation: pure functions, a new tensor out, the data type kept.

Shapes: x (..., d); v (d) or broadcastable to x; the coefficient a number or a tensor that
broadcasts to (..., 1). Coefficient 0 is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

Coefficient = float | Tensor


def add(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """X + coefficient * v."""
    v = v.to(x.dtype)
    if isinstance(coefficient, Tensor):
        return x + coefficient.to(x.dtype) * v
    return torch.add(x, v, alpha=coefficient)


def norm_preserving_add(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """Turn x towards v and keep its norm (in-context vectors, arXiv:2311.06668).

    gate = 1 + max(0, cos(x, -v));  u = x/|x| + coefficient * gate * v/|v|;  |x| * u/|u|.
    """
    wide, towards = x.float(), _unit(v)
    norm = _norm(wide)
    along = (wide * towards).sum(dim=-1, keepdim=True) / norm.clamp_min(1e-12)
    gate = 1 + (-along).clamp_min(0)
    turned = torch.addcmul(wide, norm * coefficient * gate, towards)  # |x| u
    kept: Tensor = turned.mul_(norm / _norm(turned).clamp_min(1e-12))
    return kept.to(x.dtype)


def replace(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """V in place of x; a coefficient between 0 and 1 goes part of the way."""
    v = v.to(x.dtype)
    if not isinstance(coefficient, Tensor) and coefficient == 1:
        return v.expand_as(x).clone()
    return x + _like(coefficient, x) * (v - x)


def project_out(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """X without its component along v (directional ablation, arXiv:2406.11717)."""
    wide, along = x.float(), _unit(v)
    component = (wide * along).sum(dim=-1, keepdim=True)
    return (wide - coefficient * component * along).to(x.dtype)


def clamp(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """X with its component along v set to |v|; a coefficient below 1 goes part of the way."""
    wide, target = x.float(), v.float()
    along = _unit(target)
    component = (wide * along).sum(dim=-1, keepdim=True)
    size: Tensor = target.norm(dim=-1, keepdim=True)
    return (wide + coefficient * (size - component) * along).to(x.dtype)


def _norm(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length


def _unit(v: Tensor) -> Tensor:
    direction: Tensor = F.normalize(v.float(), dim=-1)
    return direction


def _like(coefficient: Coefficient, x: Tensor) -> Coefficient:
    return coefficient.to(x.dtype) if isinstance(coefficient, Tensor) else coefficient


OPERATIONS: Mapping[str, Callable[[Tensor, Tensor, Coefficient], Tensor]] = MappingProxyType(
    {
        "add": add,
        "norm_preserving_add": norm_preserving_add,
        "replace": replace,
        "project_out": project_out,
        "clamp": clamp,
    }
)
