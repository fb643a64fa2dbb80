"""What an edit does to an activation: pure functions, a new tensor out, the data type kept.

Shapes: x (..., d); v (d), or (k, d) where AXES says 2, or broadcastable to x; the coefficient and
other numbers a number or a tensor that broadcasts to (..., 1). Coefficient 0 is the identity.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

Coefficient = float | Tensor
Parameter = float | Tensor
"""What an operation needs beside its tensor: a number, or a tensor whose last axis is d or m."""


def add(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """X + (coefficient * v).

    The product is rounded before the sum, as whoever stores or applies the product does it (the
    peers, a file without a strength, rows of their own strength): all agree to the last bit.
    """
    return x + (v * _like(coefficient, v)).to(x.dtype)


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


def add_and_keep_norm(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """X + coefficient * v at the norm of x (RepE's option `normalize`, arXiv:2310.01405)."""
    wide = x.float()
    moved = wide + coefficient * v.float()
    return (moved * (_norm(wide) / _norm(moved).clamp_min(1e-12))).to(x.dtype)


def replace(x: Tensor, v: Tensor, coefficient: Coefficient = 1.0) -> Tensor:
    """V in place of x; a coefficient between 0 and 1 goes part of the way."""
    v = v.to(x.dtype)
    if not isinstance(coefficient, Tensor) and coefficient == 1:
        return v.expand_as(x).clone()
    return x + _like(coefficient, x) * (v - x)


def replace_by_code(
    x: Tensor, v: Tensor, coefficient: Coefficient = 1.0, *, keys: Tensor, borders: Tensor
) -> Tensor:
    """One of 2^m tensors in place of x, drawn by the signs of x . key - border.

    Each activation draws its own, the same in whatever batch it stands: a bank of task vectors
    from which every prompt takes one (arXiv:2310.15916 makes one for every item).

    Args:
        x: Activations (..., d).
        v: The tensors (2^m, d).
        coefficient: A value between 0 and 1 goes part of the way.
        keys: Directions (m, d).
        borders: Their values in the middle of what was seen at the fit (m).
    """
    bits = (x.float().unsqueeze(-2) * keys.float()).sum(dim=-1) > borders.float()
    weights = 2 ** torch.arange(bits.shape[-1], device=x.device)
    code = F.one_hot((bits * weights).sum(dim=-1), v.shape[-2]).to(x.dtype)
    return replace(x, (code.unsqueeze(-2) @ v.to(x.dtype)).squeeze(-2), coefficient)


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


def rotate(
    x: Tensor, v: Tensor, coefficient: Coefficient = 1.0, *, kappa: Parameter, beta: Parameter
) -> Tensor:
    """Turn x towards v on its sphere where it lies far from v (arXiv:2602.08169).

    gap = -tanh(kappa cos(x, v)), the difference of the probabilities of -v and v. Where it is at
    most beta nothing happens; else the angle to v shrinks by the share
    clip(coefficient (gap - beta) / (1 - beta), 0, 1).
    """
    wide, towards = x.float(), _unit(v)
    norm = _norm(wide)
    along = wide / norm.clamp_min(1e-12)
    cosine = (along * towards).sum(dim=-1, keepdim=True).clamp(-1, 1)
    gap = -torch.tanh(kappa * cosine)
    share = (coefficient * (gap - beta) / (1 - beta)).clamp(0, 1)
    angle = torch.acos(cosine)
    sine = torch.sin(angle).clamp_min(1e-12)
    turned = (torch.sin(share * angle) * towards + torch.sin((1 - share) * angle) * along) / sine
    still = (gap <= beta) | (angle < 1e-4)
    return torch.where(still, wide, norm * turned).to(x.dtype)


def turn_in_plane(
    x: Tensor, v: Tensor, coefficient: Coefficient = 1.0, *, angle: Parameter, adaptive: Parameter
) -> Tensor:
    """Turn the component of x in the plane of two directions to an angle (arXiv:2510.26243).

    Args:
        x: Activations (..., d).
        v: The direction of angle 0 and, after it, one that spans the plane with it (2, d).
        coefficient: A value between 0 and 1 goes part of the shorter way.
        angle: Degrees.
        adaptive: Above 0: only where x . v[0] > 0.
    """
    wide, first = x.float(), _unit(v[..., 0, :])
    other = v[..., 1, :].float()
    second = _unit(other - (other * first).sum(dim=-1, keepdim=True) * first)
    a, b = ((wide * axis).sum(dim=-1, keepdim=True) for axis in (first, second))
    now, wanted = torch.atan2(b, a), torch.as_tensor(angle, device=x.device) * (math.pi / 180)
    way = torch.atan2(torch.sin(wanted - now), torch.cos(wanted - now))
    then, size = now + coefficient * way, torch.hypot(a, b)
    moved = wide + (size * then.cos() - a) * first + (size * then.sin() - b) * second
    still = (torch.as_tensor(adaptive, device=x.device) > 0) & (a <= 0)
    return torch.where(still, wide, moved).to(x.dtype)


def transport(
    x: Tensor,
    v: Tensor,
    coefficient: Coefficient = 1.0,
    *,
    centre: Tensor,
    slope: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    """Carry each neuron from one distribution to another by an affine map (arXiv:2410.23054).

    centre + v + slope (x - centre) where low < x < high, x elsewhere; a coefficient between 0 and
    1 goes part of the way. v, centre, slope, low, high: (d).
    """
    wide, middle = x.float(), centre.float()
    moved = middle + v.float() + slope.float() * (wide - middle)
    inside = (wide > low) & (wide < high)
    return torch.where(inside, wide + coefficient * (moved - wide), wide).to(x.dtype)


def condition(
    x: Tensor,
    v: Tensor,
    coefficient: Coefficient = 1.0,
    *,
    threshold: Parameter,
    above: Parameter,
) -> Tensor:
    """Whether a mean activation meets a condition (arXiv:2409.05907); x stays as it is.

    As an edit, its positions say which tokens are averaged: the rows that do not meet it are left
    alone by all other edits of the vector, from that layer on and in all later passes.

    Args:
        x: Mean activations (..., d).
        v: Condition vector (d).
        coefficient: Of no account.
        threshold: Compared with cos(x, tanh(v v^T x / |v|^2)).
        above: Above 0: met where the cosine is the larger one.

    Returns:
        Booleans (...).
    """
    cosine = likeness(x, v).unsqueeze(-1)
    greater = torch.as_tensor(above, device=x.device) > 0
    return torch.where(greater, cosine > threshold, cosine < threshold).squeeze(-1)


def likeness(x: Tensor, v: Tensor) -> Tensor:
    """What a condition compares: cos(x, tanh(v v^T x / |v|^2)), (..., d) -> (...)."""
    wide, along = x.float(), _unit(v)
    seen = torch.tanh((wide * along).sum(dim=-1, keepdim=True) * along)
    return F.cosine_similarity(wide, seen, dim=-1)


def stacked(parameters: Sequence[Mapping[str, Parameter]]) -> dict[str, Tensor]:
    """Parameters of r edits as tensors with r first: numbers (r, 1), tensors (r, ...)."""
    return {
        name: torch.stack(
            [torch.as_tensor(own[name]).reshape(1) if isinstance(own[name], float | int)
             else torch.as_tensor(own[name]) for own in parameters]
        )
        for name in parameters[0]
    }  # fmt: skip


def _norm(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length


def _unit(v: Tensor) -> Tensor:
    direction: Tensor = F.normalize(v.float(), dim=-1)
    return direction


def _like(coefficient: Coefficient, x: Tensor) -> Coefficient:
    return coefficient.to(x.dtype) if isinstance(coefficient, Tensor) else coefficient


OPERATIONS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        operation.__name__: operation
        for operation in (
            add, norm_preserving_add, add_and_keep_norm, replace, replace_by_code, project_out,
            clamp, rotate, turn_in_plane, transport, condition,
        )
    }
)  # fmt: skip

AXES: Mapping[str, int] = MappingProxyType({"replace_by_code": 2, "turn_in_plane": 2})
"""Axes of an operation's tensor where it has more than one."""

ROWS: Mapping[str, int] = MappingProxyType({"turn_in_plane": 2})
"""How many tensors an operation takes, where that is fixed."""

GATED = ("rotate", "turn_in_plane", "transport", "condition")
"""Operations that may leave an activation as it is, whatever their strength."""

PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(
            each.name
            for each in inspect.signature(operation).parameters.values()
            if each.kind is each.KEYWORD_ONLY
        )
        for name, operation in OPERATIONS.items()
    }
)
"""What each operation needs beside its tensor."""


def parameter_shapes(operation: str, v: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of an operation beside its tensor; () is a number."""
    if operation == "replace_by_code":
        m = max(len(v).bit_length() - 1, 0)
        return {"keys": (m, v.shape[-1]), "borders": (m,)}
    shape = tuple(v.shape[-1:]) if operation == "transport" else ()
    return dict.fromkeys(PARAMETERS[operation], shape)
