"""Find the places of a decoder that can be read and edited, by what its modules do.

| site | what is edited |
|---|---|
| block_output | the residual stream after a block |
| attn_output | the output of the attention's output projection, before the residual add |
| mlp_output | the output of the MLP, before the residual add |
| head_output | the INPUT of the output projection: heads side by side |

One pass over three tokens is watched (`tracing`). Blocks are what ran one after the other and hand
the residual stream on; attention is where weights over tokens were made; its output projection is
the linear map that ran after that; the MLP is what accounts for the rest of the block's change of
the residual stream (`residual`). Where a model normalises after the projection or the MLP (Gemma-2,
OLMo-2), attn_output and mlp_output lie before that norm; `Layout.residuals` says so.

A hybrid has some sites at some layers only. It may be edited there, and is refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steering.errors import UnsupportedModel
from steering.layout import Layout
from steering.residual import account as accounted
from steering.tracing import TOKENS, Attending, Call, Trace, trace

_layouts: WeakKeyDictionary[nn.Module, Layout] = WeakKeyDictionary()


def resolve(model: Any) -> Layout:
    """Find blocks, attentions, MLPs and heads of a Hugging Face decoder.

    The first call on a model runs one pass over three tokens; the others look up.

    Raises:
        UnsupportedModel: in one line, with what is missing.
    """
    known = _layouts.get(model)
    if known is not None and any(block is known.blocks[0] for block in known.decoder.modules()):
        return known
    name = type(model).__name__
    config = getattr(model, "config", None)
    if config is None:
        raise UnsupportedModel(f"{name} has no config; steering needs a Hugging Face causal LM")
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModel(f"{name} is an encoder-decoder; steering needs a decoder-only model")
    if hasattr(config, "get_text_config"):
        config = config.get_text_config(decoder=True)
    n_layers = _stated(config, "num_hidden_layers")
    if not isinstance(n_layers, int):
        raise UnsupportedModel(f"{name} has no number of layers in its config; use another decoder")
    seen = trace(model)
    reason = f"no list of {n_layers} blocks ran, each of them once"
    for owner, blocks in _block_lists(model, n_layers):
        calls = [seen.of(block) for block in blocks]
        if any(len(own) != 1 for own in calls):
            continue
        try:
            layout = _layout(owner, [own[0] for own in calls], seen, config)
        except UnsupportedModel as error:
            reason = str(error)
            continue
        if owner is not model:  # a value that held its own key would never be freed
            _layouts[model] = layout
        return layout
    raise UnsupportedModel(f"{name} cannot be steered: {reason}; use another decoder")


def _stated(config: Any, key: str) -> Any:
    """A value of a configuration; None where there is none, or one for each layer (Gemma-4)."""
    try:
        return getattr(config, key, None)
    except (RuntimeError, ValueError):
        return None


def _block_lists(model: Any, n_layers: int) -> Iterator[tuple[nn.Module, list[nn.Module]]]:
    """Lists of blocks and their owners: those of the text decoder first, not of a vision tower."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    roots = [decoder] if decoder is not None else []
    seen: set[nn.Module] = set()
    for root in [*roots, model]:
        for module in root.modules():
            for child in module.children():
                a_list = isinstance(child, nn.ModuleList) and len(child) == n_layers
                if a_list and child not in seen:
                    seen.add(child)
                    yield module, list(child)


def _layout(owner: nn.Module, blocks: Sequence[Call], seen: Trace, config: Any) -> Layout:
    """The layout of blocks that ran.

    Raises:
        UnsupportedModel: what is wrong, as the end of a sentence.
    """
    width = _stream(blocks)
    if not any(block.module in each.within for block in blocks for each in seen.attending):
        raise UnsupportedModel(
            "no layer weighs tokens by a softmax that can be seen; load it with "
            "attn_implementation='sdpa' or 'eager' if it has attention at all"
        )
    found = []
    for number, block in enumerate(blocks):
        inside = [c for c in seen.calls if block.began < c.began and c.ended < block.ended]
        own = [each for each in seen.attending if block.module in each.within]
        try:
            projection, attention = _projection(block, inside, own, width)
            account = accounted(block, inside, attention, projection)
        except UnsupportedModel as error:
            raise UnsupportedModel(
                f"block {number} ({type(block.module).__name__}) has {error}"
            ) from error
        found.append((projection, attention, account, {each.rows for each in own}))
    heads = set().union(*(rows for *_, rows in found))
    if len(heads) > 1:
        raise UnsupportedModel(f"its layers have different numbers of heads ({sorted(heads)})")
    n_heads = heads.pop()
    projections = [projection for projection, *_ in found]
    return Layout(
        decoder=owner,
        blocks=tuple(block.module for block in blocks),
        projections=tuple(call.module if call else None for call in projections),
        mlps=tuple(account.mlp for _, _, account, _ in found),
        residuals=tuple(account.said for _, _, account, _ in found),
        norms=tuple(account.norms for _, _, account, _ in found),
        n_layers=len(blocks),
        n_heads=n_heads,
        head_dims=tuple(
            _linear_shape(call.module)[0] // n_heads if call else 0  # type: ignore[index]
            for call in projections
        ),
        hidden_size=width,
        windows=tuple(_window(attention, config) for _, attention, *_ in found),
    )


def _stream(blocks: Sequence[Call]) -> int:
    """Width of what blocks hand on, which must be one vector for each token."""
    for number, block in enumerate(blocks):
        for x in (block.given, block.result):
            if x is None or x.ndim != 3 or x.shape[:2] != (1, TOKENS):
                shape = "nothing" if x is None else f"a tensor {tuple(x.shape)}"
                raise UnsupportedModel(
                    f"block {number} ({type(block.module).__name__}) hands on {shape} for 1 row of "
                    f"{TOKENS} tokens, expected (1, {TOKENS}, width): one residual stream"
                )
    widths = {x.shape[2] for block in blocks for x in (block.given, block.result) if x is not None}
    if len(widths) > 1:
        raise UnsupportedModel(f"its residual stream has several widths ({sorted(widths)})")
    return int(widths.pop())


def _projection(
    block: Call, inside: Sequence[Call], attending: Sequence[Attending], width: int
) -> tuple[Call | None, nn.Module | None]:
    """The output projection's call and the attention of a block, or neither."""
    found: dict[nn.Module, tuple[Call, nn.Module]] = {}
    for each in attending:
        within = each.within[each.within.index(block.module) + 1 :]
        for attention in reversed(within):
            own = set(_outer_linears(attention))
            given = next(c.given for c in reversed(inside) if c.module is attention)
            calls = [
                call
                for call in inside
                if call.began > each.at
                and call.module in own
                and _takes_heads(call, each, width)
                and not (given is not None and _equal(call.given, given))  # a gate
            ]
            if calls:
                found[calls[0].module] = calls[0], attention
                break
        else:
            raise UnsupportedModel(
                f"attention of {each.rows} heads and no output projection from them to width "
                f"{width}"
            )
    if len(found) > 1:
        raise UnsupportedModel(f"{len(found)} attentions, where one is expected")
    return next(iter(found.values()), (None, None))


def _takes_heads(call: Call, attending: Attending, width: int) -> bool:
    shape = _linear_shape(call.module)
    if shape is None or shape[1] != width or shape[0] % attending.rows:
        return False
    return attending.width is None or shape[0] == attending.rows * attending.width


def _equal(x: Tensor | None, y: Tensor) -> bool:
    return x is not None and x.shape == y.shape and torch.equal(x, y)


def _window(attention: nn.Module | None, config: Any) -> int | None:
    """Tokens that an attention sees: its own number where layers differ, else the common one."""
    common = _stated(config, "sliding_window")
    if _stated(config, "use_sliding_window") is False:
        common = None
    window = getattr(attention, "sliding_window", common)
    return window if isinstance(window, int) and window > 0 else None


def _outer_linears(module: nn.Module) -> Iterator[nn.Module]:
    """Linear maps below a module in order of definition; not those inside another (LoRA)."""
    if _linear_shape(module):
        yield module
    else:
        for child in module.children():
            yield from _outer_linears(child)


def _linear_shape(module: nn.Module) -> tuple[int, int] | None:
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.nf)
    sizes = getattr(module, "in_features", None), getattr(module, "out_features", None)
    return sizes if isinstance(sizes[0], int) and isinstance(sizes[1], int) else None  # type: ignore[return-value]
