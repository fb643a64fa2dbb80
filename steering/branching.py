"""Many variants of a prompt's last token in ONE forward pass.

An edit at the last token leaves everything before it as it is. So copies of the last token are
appended to the prompt, one per variant, all at the position of the last token; a mask lets each
copy see the prompt before it and itself, nothing else. One pass over the prompt and its copies
gives every variant, exactly. Where answers of several tokens are asked, each copy is a block of
its own: the last prompt token and the answer but its last token.

A copy differs from the unedited one only from its edited layer on. `staged` passes let it enter
there, as a copy of the unedited one: on average half the work.

The mask is additive and of the model's dtype (a boolean one is silently wrong wherever attention
runs eagerly), and positions are explicit. Models that take their positions from the index (ALiBi)
cannot branch: `effects.best_path` finds out with a probe against plain forward passes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steering.hooks import Change, changing, entering
from steering.sites import resolve

MAX_TOKENS = 2048
"""Tokens of one branched pass; more variants are taken in chunks."""

Variant = tuple[int, int]
"""(layer, head)."""
Changes = Callable[[Sequence[int], Sequence[slice]], Mapping[tuple[str, int], Change]]
"""(which variants, where each one's tokens stand) -> what is changed in the pass."""


def branched_logits(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    layers: Sequence[int],
    changes: Changes,
    *,
    staged: bool = True,
) -> Iterator[tuple[list[int], Tensor]]:
    """Logits of an answer's tokens under each of k variants, in chunks that fit MAX_TOKENS.

    Args:
        model: A Hugging Face decoder.
        prompt: T token ids.
        answer: m token ids.
        layers: The first layer that each variant changes (k).
        changes: Makes the changes of a pass.
        staged: Let copies enter at their layer.

    Yields:
        The numbers of c variants, and logits (c + 1, m, v): those of the unedited model first.
    """
    room = max(1, (MAX_TOKENS - len(prompt)) // len(answer) - 1)
    order = sorted(range(len(layers)), key=lambda i: layers[i])
    for start in range(0, max(1, len(order)), room):
        chosen = order[start : start + room]
        yield chosen, _one_pass(model, prompt, answer, chosen, layers, changes, staged)


@torch.no_grad()
def _one_pass(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    chosen: Sequence[int],
    layers: Sequence[int],
    changes: Changes,
    staged: bool,
) -> Tensor:
    device, before, m, k = model.device, len(prompt) - 1, len(answer), len(chosen) + 1
    block = [prompt[-1], *answer[:-1]]
    ids = torch.tensor([[*prompt[:-1], *block * k]], device=device)
    steps = torch.arange(before, before + m, device=device)
    positions = torch.cat([torch.arange(before, device=device), steps.repeat(k)])[None]
    owners = torch.arange(k, device=device).repeat_interleave(m)
    sees = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=device).tril()
    sees[before:, before:] &= owners[:, None] == owners
    mask = torch.zeros(1, 1, *sees.shape, dtype=model.dtype, device=device)
    mask.masked_fill_(~sees, torch.finfo(model.dtype).min)
    places = [slice(before + i * m, before + (i + 1) * m) for i in range(1, k)]
    entries = [layers[i] for i in chosen]
    extra = {}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        extra["logits_to_keep"] = k * m
    with (
        _growing(model, before, m, entries) if staged else nullcontext(),
        changing(model, changes(chosen, places)),
    ):
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, **extra
        ).logits[0, -k * m :]
    found: Tensor = logits.view(k, m, -1)
    return found


@contextmanager
def _growing(model: Any, before: int, m: int, entries: Sequence[int]) -> Iterator[None]:
    """Give each block the prompt, the unedited copy and the copies whose layer has come.

    Args:
        model: A Hugging Face decoder.
        before: Prompt tokens before the last one.
        m: Tokens of each copy.
        entries: Layer of each copy, ascending.
    """
    n_layers = resolve(model).n_layers
    widths = [
        before + m * (1 + sum(entry <= layer for entry in entries)) for layer in range(n_layers)
    ]

    def enter(layer: int, arguments: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(arguments))
        x, width = arguments[name], widths[layer]
        if x.shape[1] < width:
            plain = x[:, before : before + m]
            x = torch.cat([x, plain.repeat(1, (width - x.shape[1]) // m, 1)], dim=1)
        cut = {key: _cut(key, value, width) for key, value in arguments.items() if key != name}
        return {name: x[:, :width], **cut}

    with entering(model, enter):
        yield


def _cut(name: str, value: Any, width: int) -> Any:
    """The part of a block's argument that belongs to the first tokens."""
    if name == "position_embeddings" and value is not None:
        return tuple(part[..., :width, :] for part in value)
    if not isinstance(value, Tensor):
        return value
    if name == "attention_mask":
        return value[..., :width, :width]
    return value[..., :width] if name in ("position_ids", "cache_position") else value


def patched_log_probs(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    variants: Sequence[Variant],
    means: Tensor,
    *,
    staged: bool = True,
) -> Tensor:
    """Log-probabilities of an answer's tokens with one head replaced at the last prompt token.

    Args:
        model: A Hugging Face decoder.
        prompt: T token ids.
        answer: m token ids.
        variants: k heads, each replaced by itself alone.
        means: What replaces them (l, h, d_h).
        staged: Let copies enter at their layer.

    Returns:
        (k + 1, m): the unpatched model first. float32 on the CPU.
    """
    layout = resolve(model)

    def changes(chosen: Sequence[int], places: Sequence[slice]) -> Mapping[tuple[str, int], Change]:
        return {
            ("head_output", layer): _patch(layer, [variants[i] for i in chosen], places)
            for layer in sorted({variants[i][0] for i in chosen})
        }

    def _patch(layer: int, heads_at: Sequence[Variant], places: Sequence[slice]) -> Change:
        own = [i for i, (at, _) in enumerate(heads_at) if at == layer]
        tokens = torch.tensor([places[i].start for i in own])
        heads = torch.tensor([heads_at[i][1] for i in own])
        rows, values = torch.zeros_like(tokens), means[layer, heads]
        return lambda x: layout.with_heads(x, rows, tokens, heads, values)

    found: list[Tensor] = [torch.empty(0)] * (len(variants) + 1)
    layers = [layer for layer, _ in variants]
    for chosen, logits in branched_logits(model, prompt, answer, layers, changes, staged=staged):
        rows = answer_log_probs(logits, answer)
        for place, row in zip((0, *(i + 1 for i in chosen)), rows, strict=True):
            found[place] = row
    return torch.stack(found)


def answer_log_probs(logits: Tensor, answer: Sequence[int]) -> Tensor:
    """Log-probabilities (b, m) of an answer that ends one token after the logits (b, s, v) do."""
    m = len(answer)
    wide = torch.promote_types(logits.dtype, torch.float32)
    log_probs = F.log_softmax(logits[:, -m:], dim=-1, dtype=wide)
    wanted = torch.tensor(answer, device=logits.device).expand(len(logits), m)
    return log_probs.gather(-1, wanted.unsqueeze(-1)).squeeze(-1).cpu()
