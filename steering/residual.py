"""What a block adds to the residual stream, proved on three tokens.

The block's output must be its input plus what attention and MLP write, up to the forms that
decoders have: a norm after a part (Gemma), parts side by side (GPT-J), a multiplier (Granite), a
norm after the sum (GPT-1), further parts (the Mamba of a hybrid). The form is found by a fit of a
few numbers to three whole tokens, and said. A part that mixes tokens is no MLP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steering.errors import NotFinite, UnsupportedModel
from steering.tracing import Call

ROUNDINGS = 4
"""Units in the last place of all summands together that a sum of them may be off."""


@dataclass(frozen=True, eq=False)
class Part:
    """Something that is added to the residual stream.

    Attributes:
        name: For the statement.
        call: The call that made it.
        value: What is added (s, d): its result, or what a norm made of it.
        norms: The modules between its result and the value.
    """

    name: str
    call: Call
    value: Tensor
    norms: tuple[nn.Module, ...] = ()


class Account(NamedTuple):
    """What a block adds to the residual stream.

    Attributes:
        mlp: Its MLP; None where no one module is it.
        said: The sum in words: `x + attention + mlp`.
        norms: What the attention's output passes through before it is added.
    """

    mlp: nn.Module | None
    said: str
    norms: tuple[nn.Module, ...]


def account(
    block: Call, inside: Sequence[Call], attention: nn.Module | None, projection: Call | None
) -> Account:
    """Find a block's MLP and say what its output is the sum of.

    Args:
        block: The block's call.
        inside: The calls within it.
        attention: Its attention, where it has one.
        projection: The call of the attention's output projection.

    Raises:
        UnsupportedModel: what attention and MLP write does not account for the block's output.
        NotFinite: NaN or infinity in what the block reads or writes.
    """
    assert block.given is not None
    assert block.result is not None
    width = block.result.shape[-1]
    x, y = block.given.view(-1, width), block.result.view(-1, width)
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise NotFinite(
            f"{type(block.module).__name__}: its activations hold NaN or infinity; load the model "
            "in float32 or bfloat16"
        )
    tolerance = ROUNDINGS * max(torch.finfo(block.dtype).eps, 1e-6)
    light = [c for c in inside if c.given is not None and not _weighted(c.module)]
    light = [c for c in light if c.result is not None and c.result.numel() == y.numel()]
    mixing: list[Part | None] = [None]
    if projection is not None:
        mixing = [*_forms("attention", projection, inside, width)]
    writers = _writers(block, inside, attention, projection, width)
    for explain in (_sum, _normed):
        for heads in mixing:
            own = [] if heads is None else [heads]
            for writer in (*writers, None):
                for part in [None] if writer is None else _forms("mlp", writer, inside, width):
                    parts = [*own, *([part] if part else [])]
                    said = explain(x, y, parts, tolerance, light) if parts else None
                    if said is not None:
                        return Account(*_named(block.module, part, said), _norms(heads))
            if explain is _sum:
                found = _with_others(block, x, y, own, writers, inside, tolerance)
                if found is not None:
                    return Account(*found, _norms(heads))
        if projection is None and writers:  # what mixes tokens here is no attention
            name = _name(block.module, writers[0].module)
            mixing = [*_forms(name, writers[0], inside, width)]
    raise UnsupportedModel(
        "a change of the residual stream that its attention and MLP do not account for"
    )


def _norms(part: Part | None) -> tuple[nn.Module, ...]:
    return part.norms if part else ()


def _named(block: nn.Module, part: Part | None, said: str) -> tuple[nn.Module | None, str]:
    """The MLP and the sum; what mixes tokens is called by its own name."""
    if part is None or _each_token_alone(part.call):
        return part.call.module if part else None, said
    return None, said.replace("mlp", _name(block, part.call.module))


def _weighted(module: nn.Module) -> bool:
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _writers(
    block: Call, inside: Sequence[Call], attention: nn.Module | None, projection: Call | None,
    width: int,
) -> list[Call]:  # fmt: skip
    """Calls that may be the MLP's, the outermost first."""
    taken = set(attention.modules()) if attention is not None else set()
    return [
        call
        for call in inside
        if call.module not in taken
        and (projection is None or projection.module not in set(call.module.modules()))
        and call.result is not None
        and call.given is not None
        and call.result.shape[-1] == width
        and call.result.numel() == block.result.numel()  # type: ignore[union-attr]
        and _weighted(call.module)
    ]


def _forms(name: str, call: Call, inside: Sequence[Call], width: int) -> list[Part]:
    """A call's result as it may be added: after the norms that follow it, and before them."""
    assert call.result is not None
    forms = [Part(name, call, call.result.reshape(-1, width))]
    for later in inside:
        if later.began < call.ended or _weighted(later.module):
            continue
        if _same(later.given, forms[-1].value) and not _same(later.result, forms[-1].value):
            assert later.result is not None
            value = later.result.reshape(-1, width)
            norms = (*forms[-1].norms, later.module)
            forms.append(Part(f"norm({forms[-1].name})", call, value, norms))
    return forms[::-1]


def _same(x: Tensor | None, value: Tensor) -> bool:
    return x is not None and x.numel() == value.numel() and torch.equal(x.view_as(value), value)


def _sum(
    x: Tensor, y: Tensor, parts: Sequence[Part], tolerance: float, light: Sequence[Call] = ()
) -> str | None:
    """Say y as a sum of multiples of x and all parts, where it is one."""
    terms = [x, *(part.value for part in parts)]
    columns = torch.stack([term.flatten() for term in terms], dim=1)
    # rounding is relative: without weights a few huge activations would decide alone
    scale = 1 / columns.abs().sum(dim=1, keepdim=True).clamp_min(1e-30)
    weights = torch.linalg.lstsq(
        columns * scale, y.flatten()[:, None] * scale, driver="gelsy"
    ).solution[:, 0]
    size = (columns * weights).abs()
    off = (columns @ weights - y.flatten()).abs()
    if not bool((off <= tolerance * size.sum(dim=1)).all()):
        return None
    if not bool((size > tolerance * size.sum(dim=1, keepdim=True)).any(dim=0).all()):
        return None  # a part that is not there
    words = [
        _times(weight, name)
        for weight, name in zip(weights.tolist(), ["x", *(p.name for p in parts)], strict=True)
    ]
    return " + ".join(words)


def _times(weight: float, name: str) -> str:
    return name if abs(weight - 1) < 0.02 else f"{weight:.3g} {name}"


def _normed(
    x: Tensor, y: Tensor, parts: Sequence[Part], tolerance: float, light: Sequence[Call]
) -> str | None:
    """The same where sums are normalised on the way: GPT-1's norm(norm(x + attention) + mlp)."""
    if _same(x, y):
        return None if parts else "x"
    said = _sum(x, y, parts, tolerance) if parts else None
    for norm in light:
        if said is not None:
            break
        assert norm.given is not None
        assert norm.result is not None
        if norm.given.numel() != y.numel() or _same(norm.given, norm.result.view_as(y)):
            continue
        before, after = norm.given.view_as(y), norm.result.view_as(y)
        earlier = [each for each in light if each.began < norm.began]
        if torch.equal(after, y):
            inner = _normed(x, before, parts, tolerance, earlier)
            said = inner and f"norm({inner})"
        elif parts:
            outer = _sum(after, y, parts[-1:], tolerance)
            inner = outer and _normed(x, before, parts[:-1], tolerance, earlier)
            said = outer and inner and outer.replace("x", f"norm({inner})", 1)
    return said


def _with_others(
    block: Call, x: Tensor, y: Tensor, own: Sequence[Part], writers: Sequence[Call],
    inside: Sequence[Call], tolerance: float,
) -> tuple[nn.Module | None, str] | None:  # fmt: skip
    """The same where further modules of the block write."""
    children = set(block.module.children())
    calls = [call for call in writers if call.module in children]
    if len(calls) < 2:
        return None
    for others in _choices([_forms(_name(block.module, c.module), c, inside, x.shape[1])
                            for c in calls]):  # fmt: skip
        said = _sum(x, y, [*own, *others], tolerance)
        if said is None:
            continue
        alone = [
            part
            for part in others
            if part.call.given is not None
            and part.call.given.shape[-1] == x.shape[1]  # an MLP reads the residual stream
            and _each_token_alone(part.call)
        ]
        return (alone[0].call.module if len(alone) == 1 else None), said
    return None


def _choices(forms: Sequence[Sequence[Part]]) -> Iterator[list[Part]]:
    """One form of each part: all after their norms, then all before them."""
    yield [each[0] for each in forms]
    if any(len(each) > 1 for each in forms):
        yield [each[-1] for each in forms]


def _name(block: nn.Module, module: nn.Module) -> str:
    names: dict[nn.Module, str] = {each: name for name, each in block.named_modules()}
    return names[module]


@torch.no_grad()
def _each_token_alone(call: Call) -> bool:
    """Whether a module does to the second token alone what it did to it among three."""
    assert call.given is not None
    assert call.result is not None
    one = call.given[..., 1:2, :].to(call.device, call.dtype)
    try:
        alone = call.module(one)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    alone = alone[0] if isinstance(alone, tuple | list) else alone
    expected = call.result[..., 1:2, :]
    off = (alone.detach().to("cpu", torch.float64).view_as(expected) - expected).abs().max()
    return bool(off <= 8 * max(torch.finfo(call.dtype).eps, 1e-6) * expected.abs().max())
