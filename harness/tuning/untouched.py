"""Whether a fit left the model as it was: every fit of others is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import ModelChanged

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PADDING = ("padding_side", "truncation_side", "pad_token")
"""What many a fit sets on a tokenizer for batches of its own: put back, and no mistake."""

GROWING = ("dynamic", "longrope")
"""Kinds of rotary positions whose tables change with the length of what is read."""


@contextmanager
def untouched(model: Any, what: str, tokenizer: Any = None) -> Iterator[None]:
    """Refuse to go on with a model that has other weights, hooks or settings afterwards.

    Args:
        model: Looked at before and after.
        what: What is done with it.
        tokenizer: The model's; how it pads is put back.

    Raises:
        ModelChanged: with the first part that differs.
    """
    before = _state(model) | _words(tokenizer)
    padding = {name: getattr(tokenizer, name) for name in PADDING if hasattr(tokenizer, name)}
    try:
        yield
    finally:
        for name, value in padding.items():
            setattr(tokenizer, name, value)
    after = _state(model) | _words(tokenizer)
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            raise ModelChanged(
                f"{what} changed the model ({name or 'the whole'}), so that nothing after it could "
                "be measured; a fit leaves weights, hooks and settings as they were: work on a "
                "copy, or undo it in a finally"
            )


def _state(model: Any) -> dict[str, Any]:
    """Of each module its hooks and settings; of each weight and buffer where it lies and its sum.

    An edit through `.data`, or in place of `forward`, leaves no other trace.
    """
    found: dict[str, Any] = {}
    growing = set()
    for name, module in model.named_modules():
        if getattr(module, "rope_type", None) in GROWING:
            growing.add(name)
            continue
        hooks = list(module._forward_hooks), list(module._forward_pre_hooks)
        found[name] = (hooks, module.training, _settings(module))
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if name.rpartition(".")[0] not in growing:
            found[name] = (weight.data_ptr(), weight._version, _sum(weight))
    for name in ("config", "generation_config"):
        part = getattr(model, name, None)
        if part is not None and hasattr(part, "to_dict"):
            found[name] = repr(part.to_dict()), getattr(part, "_attn_implementation", None)
    return found


def _settings(module: Module) -> dict[str, Any]:
    """Numbers and words that a module computes with, and a `forward` of its own."""
    plain = {name: value for name, value in vars(module).items() if isinstance(value, float | str)}
    return {**plain, "forward": id(vars(module).get("forward"))}


def _sum(weight: Tensor) -> float:
    if weight.is_meta or weight.element_size() == 1:  # offloaded, or packed
        return 0.0
    return float(weight.detach().sum())


def _words(tokenizer: Any) -> dict[str, Any]:
    """What a tokenizer makes of texts, as far as a fit might change it."""
    if tokenizer is None:
        return {}
    named = ("chat_template", "bos_token", "eos_token", "add_bos_token")
    said = [str(getattr(tokenizer, name, None)) for name in named]
    return {"its tokenizer": (len(tokenizer), said)}
