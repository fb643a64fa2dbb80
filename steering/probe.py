"""The proof that every site of a model was found rightly, in five passes over three tokens.

1. `resolve` watches one pass: blocks, attention, MLP, and what the residual stream is the sum of.
2. In one pass with a row for each head, the head's attention is scaled where it is made. Every
   block gets the unchanged stream, so that all layers are proved at once: only the head's own slice
   of the projection's input may move, and the output by exactly what that slice writes.
3. In one pass with a row for each site of each layer, an edit there must reach the logits.
4. and 5. With a KV cache, two tokens and then one: an edit of what comes after the prompt must be
   the edit of the third token in the pass before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steering.attachment import Slot, on
from steering.edit import Edit
from steering.errors import NotFinite, SteeringError, UnsupportedModel
from steering.hooks import Change, changing, entering
from steering.layout import SITES, Layout, written
from steering.sites import resolve
from steering.tracing import TOKENS, changing_heads, last_logits, token_ids

FACTOR = 3.0
"""By how much a head's attention is scaled."""

QUANTISED = 0.1
"""Relative error of sums of quantised products, whose activations are rounded row by row."""

_checked: WeakSet[nn.Module] = WeakSet()


@torch.no_grad()
def check_sites(model: Any) -> None:
    """Prove on three tokens that sites are what they are called, and that edits reach the logits.

    Raises:
        UnsupportedModel: Something is not so; the message names the place.
        NotFinite: The model's own logits are not numbers.
    """
    if model in _checked:
        return
    layout = resolve(model)
    _prove_heads(model, layout)
    expected = _prove_reach(model, layout)
    _prove_cache(model, *expected)
    _checked.add(model)


def _refuse(model: Any, what: str) -> UnsupportedModel:
    return UnsupportedModel(f"{type(model).__name__} cannot be steered: {what}; use another model")


def _rounding(model: Any) -> float:
    """What sums of products may be off, relative to their largest value."""
    return 16 * max(torch.finfo(model.dtype).eps, 1e-6)


def _prove_heads(model: Any, layout: Layout) -> None:
    """Slices are heads, and the projection writes the sum of what they write, and its bias."""
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    with _keeping(layout, seen), _same_stream(model, layout), changing_heads(FACTOR):
        model(input_ids=token_ids(model, layout.n_heads + 1), use_cache=False)
    for layer in layout.layers("head_output"):
        if layer not in seen:
            raise _refuse(model, f"layer {layer} runs in another way with several rows")
        reason = _heads_wrong(model, layout, layer, *seen[layer])
        if reason:
            raise _refuse(model, f"attention of layer {layer}: {reason}")


def _heads_wrong(model: Any, layout: Layout, layer: int, x: Tensor, y: Tensor) -> str | None:
    """What is wrong with the slices (h + 1, s, h * d_h) and the output (h + 1, s, d)."""
    heads = layout.split_heads(x.float(), layer)  # (h + 1, s, h, d_h)
    off = _rounding(model)
    moved = (heads[1:] - heads[0]).abs().amax(dim=(1, 3))  # (h, h): what row r did to slice h
    size = heads[0].abs().amax()
    own = moved.diagonal()
    if not bool((own > off * heads[0].abs().amax(dim=(0, 2))).all()):
        return f"scaling head {int(own.argmin())} does not move its slice"
    others = moved - torch.diag(own)
    if not bool((others <= off * size).all()) and not _rescaled(heads, off):
        row, slice_ = divmod(int(others.argmax()), layout.n_heads)
        return f"scaling head {row} moves the slice of head {slice_}"
    projection = layout.module("attn_output", layer)
    exact = type(projection) in (nn.Linear, Conv1D)
    allowed = off if exact or _floating(projection) else QUANTISED
    last = x[0, -1].float()
    alone = torch.zeros(layout.n_heads, len(last), device=x.device)
    for head, row in enumerate(layout.split_heads(alone, layer)):
        row[head] = layout.split_heads(last, layer)[head]
    shares = written(projection, alone)
    zero = torch.zeros(1, len(last), device=x.device)
    total = shares.sum(dim=0) + written(projection, zero, bias=True)[0]
    scale = shares.abs().sum(dim=0) + total.abs() + y[0, -1].float().abs()
    if not bool(((total - y[0, -1].to(total)).abs() <= allowed * scale.amax()).all()):
        return "the sum of what all heads write is not what its projection writes"
    change = (y[1:, -1] - y[0, -1]).to(total)
    given = (x[1:, -1] - x[0, -1]).float()
    predicted = written(projection, given)
    scale = scale.amax() + predicted.abs().amax()
    if not bool(((change - predicted).abs() <= allowed * scale).all()):
        return "moving one head does not move the output by that head's share"
    return None


def _rescaled(heads: Tensor, off: float) -> bool:
    """Whether other slices only change by one factor for each token: a norm over heads follows."""
    plain, rows = heads[:1], heads[1:]
    others = ~torch.eye(heads.shape[2], dtype=torch.bool, device=heads.device)
    a = (plain * others[:, None, :, None]).flatten(2)
    b = (rows * others[:, None, :, None]).flatten(2)
    factor = (a * b).sum(dim=-1, keepdim=True) / a.square().sum(dim=-1, keepdim=True)
    return bool(((b - factor * a).abs() <= off * b.abs().amax()).all())


def _floating(projection: Any) -> bool:
    return all(p.is_floating_point() for p in projection.parameters())


@contextmanager
def _keeping(layout: Layout, seen: dict[int, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Keep what each output projection takes and gives."""

    def keep(layer: int) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: Any, *others: Any) -> None:
            if len(others) < 2:  # without keywords: removed while another thread's pass was running
                return
            kwargs, output = others
            x = inputs[0] if inputs else next(iter(kwargs.values()))
            if x.shape[0] == layout.n_heads + 1 or x.ndim == 2:
                rows = layout.n_heads + 1
                seen[layer] = x.reshape(rows, TOKENS, -1), output.reshape(rows, TOKENS, -1)

        return hook

    handles = [
        layout.module("attn_output", layer).register_forward_hook(keep(layer), with_kwargs=True)
        for layer in layout.layers("attn_output")
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _same_stream(model: Any, layout: Layout) -> Iterator[None]:
    """Give every row of every block what the first row gets."""

    def enter(_layer: int, arguments: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(arguments))
        x = arguments[name]
        return {**arguments, name: x[:1].expand_as(x).contiguous()}

    with entering(model, enter):
        yield


def _prove_reach(model: Any, layout: Layout) -> tuple[Edit, Tensor, Tensor]:
    """An edit at each site of each layer moves the logits; the last row waits for the cache.

    Returns:
        An edit of the third token, its logits (v), and those of the unedited model (v).
    """
    places = [(site, layer) for site in SITES for layer in layout.layers(site)]
    rows = len(places) + 3  # one plain row at each end, and the edit of the third token
    middle = (layout.n_layers - 1) // 2
    generator = torch.Generator().manual_seed(0)
    waiting = Edit(
        "block_output", middle, "add", torch.randn(layout.hidden_size, generator=generator),
        "generated",
    )  # fmt: skip

    def edit(own: Mapping[int, bool]) -> Change:
        def change(x: Tensor) -> Tensor:
            new = x.reshape(rows, -1, x.shape[-1]).clone()  # Gemma-4 ends with the last token alone
            for row, random in own.items():
                size = 1 + 4 * new[row].float().square().mean().sqrt().cpu()
                if random:
                    noise = torch.randn(new.shape[1:], generator=generator)
                    new[row] += (size * noise).to(new)
                else:
                    new[row, -1] += waiting.tensor.to(new)
            return new.view_as(x)

        return change

    at: dict[tuple[str, int], dict[int, bool]] = {}
    for row, place in enumerate(places, start=1):
        at.setdefault(place, {})[row] = True
    at[("block_output", middle)][rows - 1] = False
    ids = token_ids(model, rows)
    with changing(model, {place: edit(own) for place, own in at.items()}):
        logits = model(input_ids=ids, use_cache=False, **last_logits(model)).logits[:, -1]
    logits = logits.float()
    if not torch.isfinite(logits[0]).all():
        raise NotFinite(
            f"{type(model).__name__}: the logits of three tokens hold NaN or infinity; load the "
            "model in float32 or mend the checkpoint"
        )
    rounding = 2 * max(torch.finfo(model.dtype).eps, 1e-6) * logits[0].abs().amax()
    noise = rounding + 4 * (logits[0] - logits[rows - 2]).abs().amax()
    moved = (logits[1 : rows - 2] - logits[0]).abs().amax(dim=1)
    still = (moved <= noise).nonzero().flatten().tolist()
    if still:
        site, layer = places[still[0]]
        raise _refuse(model, f"an edit of {site} at layer {layer} does not reach the logits")
    return waiting, logits[rows - 1], logits[0]


def _prove_cache(model: Any, edit: Edit, expected: Tensor, plain: Tensor) -> None:
    """Two tokens and then one, with the edit of what is generated, as generation does."""
    try:
        with on(model, [Slot(edit, 1.0)]):
            found = _after_cache(model)
    except SteeringError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _refuse(model, f"it does not go on from its cache ({reason})") from error
    if found is None or _near(model, found, expected):
        return
    unsteered = _after_cache(model)
    if unsteered is not None and not _near(model, unsteered, plain):
        raise _refuse(model, "with its cache it answers otherwise than without, even unsteered")
    raise _refuse(model, "an edit of what follows its cache is not the edit of the same token")


def _after_cache(model: Any) -> Tensor | None:
    """Logits (v) of the third token after a cache of two; None where there are no caches."""
    ids = token_ids(model)
    begun = model(input_ids=ids[:, :2], use_cache=True)
    cache = getattr(begun, "past_key_values", None)
    if cache is None:
        if getattr(model, "_is_stateful", False):
            raise _refuse(model, "it keeps a state of its own, from which no position is known")
        return None  # it generates from whole texts
    logits: Tensor = model(
        input_ids=ids[:, 2:], attention_mask=torch.ones_like(ids), past_key_values=cache,
        use_cache=True,
    ).logits  # fmt: skip
    return logits[0, -1].float()


def _near(model: Any, found: Tensor, expected: Tensor) -> bool:
    allowed = 4 * _rounding(model) * expected.abs().amax()
    return bool(((found - expected).abs() <= allowed).all())
