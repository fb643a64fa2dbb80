"""The only place whose hooks change a model; every one of them is taken away again."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steering.errors import BadVector
from steering.positions import Pass
from steering.sites import resolve
from steering.tracing import before_call

Change = Callable[[Tensor], Tensor | None]
"""Takes a site's activations (b, s, d); returns new ones, or None to leave them."""

BEFORE = ("head_output", "block_input")
"""Sites that are the input of their module."""

PART = 1024
"""Columns of one part of an unembedding."""


class _Stop(Exception):
    """Ends a forward pass of which nothing more is needed."""


@contextmanager
def changing(
    model: nn.Module, changes: Mapping[tuple[str, int], Change], *, anywhere: bool = False
) -> Iterator[None]:
    """Pass the activations of sites through functions.

    Args:
        model: A Hugging Face decoder.
        changes: A function for each (site, layer).
        anywhere: In the passes of other threads too; else theirs stay as they are.
    """
    layout = resolve(model)
    with ExitStack() as stack:
        for (site, layer), wanted in changes.items():
            change = wanted if anywhere else _in_this_thread(wanted)
            module = layout.module(site, layer)
            handle = (
                before_call(module, _before(change))
                if site in BEFORE
                else module.register_forward_hook(_after(change))
            )
            stack.callback(handle.remove)
        yield


def _in_this_thread(change: Change) -> Change:
    thread = threading.get_ident()
    return lambda x: change(x) if threading.get_ident() == thread else None


def _after(change: Change) -> Callable[..., Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple | list):  # GPT-1 returns a list
            new = change(output[0])
            return None if new is None else type(output)((new, *output[1:]))
        return change(output)

    return hook


def _before(change: Change) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if inputs:
            new = change(inputs[0])
            return None if new is None else ((new, *inputs[1:]), kwargs)
        name = next(iter(kwargs))
        new = change(kwargs[name])
        return None if new is None else (inputs, {**kwargs, name: new})

    return hook


@contextmanager
def entering(
    model: nn.Module, enter: Callable[[int, dict[str, Any]], dict[str, Any]]
) -> Iterator[None]:
    """Pass the arguments of every block, by name and in order, through a function.

    Args:
        model: A Hugging Face decoder.
        enter: (layer, arguments) -> the arguments that the block gets instead.
    """
    thread = threading.get_ident()

    def before(layer: int, names: list[str]) -> Callable[..., Any]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if threading.get_ident() != thread:
                return None
            return (), enter(layer, {**dict(zip(names, inputs, strict=False)), **kwargs})

        return hook

    with ExitStack() as stack:
        for layer, block in enumerate(resolve(model).blocks):
            names = list(inspect.signature(block.forward).parameters)
            handle = before_call(block, before(layer, names))
            stack.callback(handle.remove)
        yield


@contextmanager
def unembedding_in_parts(model: Any) -> Iterator[None]:
    """Let the CPU compute a large unembedding part by part, without gradients: the same sums.

    580 rows of width 768 times 50,257 columns: 119 GFLOP/s in one product, 164 in parts.
    """
    head = model.get_output_embeddings()
    plain = type(head) is nn.Linear and head.bias is None and "forward" not in vars(head)
    if not plain or head.weight.device.type != "cpu" or len(head.weight) < 8 * PART:
        yield
        return

    def forward(x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        out = rows.new_empty(len(rows), len(head.weight))
        for first in range(0, out.shape[1], PART):
            columns = slice(first, first + PART)
            torch.mm(rows, head.weight[columns].T, out=out[:, columns])
        return out.view(*x.shape[:-1], -1)

    head.forward = forward
    try:
        yield
    finally:
        del head.forward


@contextmanager
def watching(model: nn.Module, begin: Callable[[Pass], None]) -> Iterator[None]:
    """Tell what is known about each forward pass before it begins, and the prompt of `generate`.

    A wrapper around the decoder (a vision-language model) may make masks of its own and hand those
    down; which tokens are real is then known from what the wrapper itself was given.

    Args:
        model: A Hugging Face decoder.
        begin: Called with the facts of each pass.
    """
    layout = resolve(model)
    names = list(inspect.signature(layout.decoder.forward).parameters)

    def before(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = {**dict(zip(names, inputs, strict=False)), **kwargs}
        tokens = given.get("input_ids")
        if tokens is None:
            tokens = given["inputs_embeds"]
        cache = given.get("past_key_values")
        mask = given.get("attention_mask")
        if isinstance(mask, Mapping):
            mask = _mask_of_wrapper()
        begin(
            Pass(
                batch=tokens.shape[0],
                width=tokens.shape[1],
                past=int(cache.get_seq_length()) if cache is not None else 0,
                attention_mask=mask if isinstance(mask, Tensor) and mask.ndim == 2 else None,
                prompt_width=_prompt_width.get(),
            )
        )

    def wrapped(names: list[str]) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = {**dict(zip(names, inputs, strict=False)), **kwargs}
            _outer_mask.set(given.get("attention_mask"))

        return hook

    def left(*_ignored: Any) -> None:
        _outer_mask.set(_UNKNOWN)

    with ExitStack() as stack:
        for wrapper in _wrappers(model, layout.decoder):
            names_of = list(inspect.signature(wrapper.forward).parameters)
            if "attention_mask" in names_of:
                handle = before_call(wrapper, wrapped(names_of))
                stack.callback(handle.remove)
                stack.callback(wrapper.register_forward_hook(left, always_call=True).remove)
        handle = before_call(layout.decoder, before)
        stack.callback(handle.remove)
        if hasattr(model, "generate"):
            stack.enter_context(_generate_told(model))
        yield


def _mask_of_wrapper() -> Any:
    """The mask that a wrapper was given, of which it has made several."""
    mask = _outer_mask.get()
    if mask is _UNKNOWN or isinstance(mask, Mapping):
        raise BadVector(
            "the decoder got a mask for each kind of layer, from which real tokens cannot be told; "
            "give attention_mask (batch, tokens), or call the whole model"
        )
    return mask


def _wrappers(model: nn.Module, decoder: nn.Module) -> Iterator[nn.Module]:
    """The modules around a decoder, the model itself first."""
    path = next(name for name, module in model.named_modules() if module is decoder)
    parts = path.split(".") if path else []
    for depth in range(len(parts)):
        yield model.get_submodule(".".join(parts[:depth]))


_UNKNOWN = object()
_outer_mask: ContextVar[Any] = ContextVar("outer_mask", default=_UNKNOWN)
_prompt_width: ContextVar[int | None] = ContextVar("prompt_width", default=None)
"""Padded width of the prompt of the `generate` that runs; of each thread its own."""

_told: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_telling = threading.Lock()


@contextmanager
def _generate_told(model: Any) -> Iterator[None]:
    """Note the padded width of the prompt while `model.generate` runs.

    Blocks may end in another order than they began: the first one puts the note there, and
    whichever is the last one takes it away.
    """
    with _telling:
        if not _told.get(model):
            model.generate = _Telling(model.generate, vars(model).get("generate"))
        _told[model] = _told.get(model, 0) + 1
    try:
        yield
    finally:
        with _telling:
            _told[model] -= 1
            if not _told[model]:
                own = model.generate.own
                del model.generate
                if own is not None:
                    model.generate = own


@dataclass(frozen=True)
class _Telling:
    """`generate` that notes the width of its prompt; `own` is what the model had of its own."""

    inner: Callable[..., Any]
    own: Callable[..., Any] | None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        prompt = args[0] if args else None
        for name in ("inputs", "input_ids", "inputs_embeds"):
            prompt = kwargs.get(name) if prompt is None else prompt
        noted = _prompt_width.set(1 if prompt is None else prompt.shape[1])
        try:
            return self.inner(*args, **kwargs)
        finally:
            _prompt_width.reset(noted)


@torch.no_grad()
def capture(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    select: Callable[[Tensor], Tensor],
    *,
    site: str = "block_output",
    layers: Sequence[int] | None = None,
) -> Tensor:
    """Run one forward pass as far as it is needed and keep what is selected of a site.

    Args:
        model: A Hugging Face decoder.
        inputs: Arguments of the forward pass.
        select: Activations (b, s, d) -> what is kept, (b, ...).
        site: Where to read.
        layers: Layers to read; all by default. Layer -1 of block_output is what the EMBEDDING
            MODULE writes (learned positions and scales come after it), or the first block's input
            where the embedding is narrower than the residual stream (OPT-350M).

    Returns:
        (b, l, ...), float32 on the CPU; narrower layers are zero at the end.
    """
    layout = resolve(model)
    wanted = layers if layers is not None else range(layout.n_layers)
    kept: dict[int, Tensor] = {}
    thread = threading.get_ident()

    def keep(layer: int) -> Change:
        def change(x: Tensor) -> None:
            kept[layer] = select(x).float()
            if layer == wanted[-1]:
                raise _Stop

        return change

    def embedding(_module: nn.Module, given: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = given[0] if given else next(iter(kwargs.values()))
        if -1 not in kept and threading.get_ident() == thread:
            kept[-1] = select(x).float()

    def embedded(_module: nn.Module, _given: Any, output: Any) -> None:
        own = threading.get_ident() == thread
        if own and isinstance(output, Tensor) and output.shape[-1] == layout.hidden_size:
            kept[-1] = select(output).float()

    with ExitStack() as stack:
        if -1 in wanted:
            source = model.get_input_embeddings()  # type: ignore[operator]
            stack.callback(source.register_forward_hook(embedded).remove)
            first = before_call(layout.blocks[0], embedding)
            stack.callback(first.remove)
        stack.enter_context(
            changing(model, {(site, layer): keep(layer) for layer in wanted if layer >= 0})
        )
        with suppress(_Stop):
            model(**inputs, use_cache=False)
    device = kept[wanted[-1]].device  # layers may lie on several
    widest = max(x.shape[-1] for x in kept.values())
    even = [F.pad(kept[layer], (0, widest - kept[layer].shape[-1])) for layer in wanted]
    return torch.stack([x.to(device) for x in even], dim=1).cpu()
