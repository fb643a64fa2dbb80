"""The only place that puts hooks on a model, and takes every one of them away again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from steering.positions import Pass
from steering.sites import Layout, resolve

Change = Callable[[Tensor], Tensor | None]
"""Takes a site's activations (b, s, d); returns new ones, or None to leave them."""


PART = 1024
"""Columns of one part of an unembedding."""


class _Stop(Exception):
    """Ends a forward pass of which nothing more is needed."""


@contextmanager
def changing(model: nn.Module, changes: Mapping[tuple[str, int], Change]) -> Iterator[None]:
    """Pass the activations of sites through functions.

    Args:
        model: A Hugging Face decoder.
        changes: A function for each (site, layer).
    """
    layout = resolve(model)
    with ExitStack() as stack:
        for (site, layer), change in changes.items():
            module = layout.module(site, layer)
            handle = (
                module.register_forward_pre_hook(_before(change), with_kwargs=True)
                if site == "head_output"
                else module.register_forward_hook(_after(change))
            )
            stack.callback(handle.remove)
        yield


def _after(change: Change) -> Callable[..., Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            new = change(output[0])
            return None if new is None else (new, *output[1:])
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

    def before(layer: int, names: list[str]) -> Callable[..., Any]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return (), enter(layer, {**dict(zip(names, inputs, strict=False)), **kwargs})

        return hook

    with ExitStack() as stack:
        for layer, block in enumerate(resolve(model).blocks):
            names = list(inspect.signature(block.forward).parameters)
            handle = block.register_forward_pre_hook(before(layer, names), with_kwargs=True)
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

    Args:
        model: A Hugging Face decoder.
        begin: Called with the facts of each pass.
    """
    layout = resolve(model)
    names = list(inspect.signature(layout.decoder.forward).parameters)
    prompt_width: list[int] = []

    def before(_module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = {**dict(zip(names, inputs, strict=False)), **kwargs}
        tokens = given.get("input_ids")
        if tokens is None:
            tokens = given["inputs_embeds"]
        cache = given.get("past_key_values")
        mask = given.get("attention_mask")
        begin(
            Pass(
                batch=tokens.shape[0],
                width=tokens.shape[1],
                past=int(cache.get_seq_length()) if cache is not None else 0,
                attention_mask=mask if isinstance(mask, Tensor) and mask.ndim == 2 else None,
                prompt_width=prompt_width[-1] if prompt_width else None,
            )
        )

    with ExitStack() as stack:
        handle = layout.decoder.register_forward_pre_hook(before, with_kwargs=True)
        stack.callback(handle.remove)
        if hasattr(model, "generate"):
            stack.enter_context(_generate_told(model, prompt_width))
        yield


@contextmanager
def _generate_told(model: Any, prompt_width: list[int]) -> Iterator[None]:
    """Note the padded width of the prompt while `model.generate` runs."""
    inner, own = model.generate, "generate" in vars(model)

    def generate(*args: Any, **kwargs: Any) -> Any:
        prompt = args[0] if args else None
        for name in ("inputs", "input_ids", "inputs_embeds"):
            prompt = kwargs.get(name) if prompt is None else prompt
        prompt_width.append(1 if prompt is None else prompt.shape[1])
        try:
            return inner(*args, **kwargs)
        finally:
            prompt_width.pop()

    model.generate = generate
    try:
        yield
    finally:
        if own:
            model.generate = inner
        else:
            del model.generate


@torch.no_grad()
def capture(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    select: Callable[[Tensor], Tensor],
    *,
    site: str = "block_output",
    layers: range | None = None,
) -> Tensor:
    """Run one forward pass as far as it is needed and keep what is selected of a site.

    Args:
        model: A Hugging Face decoder.
        inputs: Arguments of the forward pass.
        select: Activations (b, s, d) -> what is kept, (b, ...).
        site: Where to read.
        layers: Layers to read; all by default. Layer -1 of block_output is the embedding.

    Returns:
        (b, l, ...), float32 on the CPU.
    """
    layout: Layout = resolve(model)
    wanted = layers if layers is not None else range(layout.n_layers)
    kept: dict[int, Tensor] = {}

    def keep(layer: int) -> Change:
        def change(x: Tensor) -> None:
            kept[layer] = select(x).float()
            if layer == wanted[-1]:
                raise _Stop

        return change

    def embedding(_module: nn.Module, given: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = given[0] if given else kwargs["hidden_states"]
        kept[-1] = select(x).float()

    with ExitStack() as stack:
        if -1 in wanted:
            first = layout.blocks[0].register_forward_pre_hook(embedding, with_kwargs=True)
            stack.callback(first.remove)
        stack.enter_context(
            changing(model, {(site, layer): keep(layer) for layer in wanted if layer >= 0})
        )
        with suppress(_Stop):
            model(**inputs, use_cache=False)
    device = kept[wanted[-1]].device  # layers may lie on several
    return torch.stack([kept[layer].to(device) for layer in wanted], dim=1).cpu()
