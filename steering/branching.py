"""Many variants of a prompt's last token in ONE forward pass.

A patch at the last token leaves everything before it as it is. So K copies of the last token are
appended to the prompt, all at the position of the last token; a mask lets each copy see the prompt
before it and itself, nothing else. One pass over T - 1 + K tokens gives every variant, exactly.
Where the copies are followed by an answer's tokens, each copy is a block of its own.

The mask is additive and of the model's dtype (a boolean one is silently wrong wherever attention
runs eagerly), and positions are explicit. Models that take their positions from the index (ALiBi)
cannot branch: `effects.can_branch` finds out with a probe against plain forward passes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steering.hooks import changing
from steering.sites import Layout, resolve

MAX_TOKENS = 2048
"""Tokens of one branched pass; more variants are taken in chunks."""

Variant = tuple[int, int]
"""(layer, head)."""


def patched_log_probs(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    variants: Sequence[Variant],
    means: Tensor,
) -> Tensor:
    """Log-probabilities of an answer's tokens with one head replaced at the last prompt token.

    Args:
        model: A Hugging Face decoder.
        prompt: T token ids.
        answer: m token ids.
        variants: k heads, each replaced by itself alone.
        means: What replaces them (l, h, d_h).

    Returns:
        (k + 1, m): the unpatched model first. float32 on the CPU.
    """
    m = len(answer)
    room = max(1, (MAX_TOKENS - len(prompt)) // m - 1)
    parts = [
        _one_pass(model, prompt, answer, variants[start : start + room], means)
        for start in range(0, max(1, len(variants)), room)
    ]
    return torch.cat([parts[0], *(part[1:] for part in parts[1:])])


@torch.no_grad()
def _one_pass(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    variants: Sequence[Variant],
    means: Tensor,
) -> Tensor:
    layout, device = resolve(model), model.device
    before, m, k = len(prompt) - 1, len(answer), len(variants) + 1
    block = [prompt[-1], *answer[:-1]]
    ids = torch.tensor([[*prompt[:-1], *block * k]], device=device)
    steps = torch.arange(before, before + m, device=device)
    positions = torch.cat([torch.arange(before, device=device), steps.repeat(k)])[None]
    width = ids.shape[1]
    sees = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    own = torch.block_diag(*[torch.ones(m, m, device=device)] * k).bool()
    sees[before:, before:] &= own
    lowest = torch.finfo(model.dtype).min
    mask = torch.zeros(1, 1, width, width, dtype=model.dtype, device=device)
    mask.masked_fill_(~sees, lowest)
    changes = {
        ("head_output", layer): _patch(layout, layer, variants, means, before + m, m)
        for layer in sorted({layer for layer, _ in variants})
    }
    extra = {}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        extra["logits_to_keep"] = k * m
    with changing(model, changes):
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, **extra
        ).logits[0, -k * m :]
    return answer_log_probs(logits.view(k, m, -1), answer)


def answer_log_probs(logits: Tensor, answer: Sequence[int]) -> Tensor:
    """Log-probabilities (b, m) of an answer that ends one token after the logits (b, s, v) do."""
    m = len(answer)
    wide = torch.promote_types(logits.dtype, torch.float32)
    log_probs = F.log_softmax(logits[:, -m:], dim=-1, dtype=wide)
    wanted = torch.tensor(answer, device=logits.device).expand(len(logits), m)
    return log_probs.gather(-1, wanted.unsqueeze(-1)).squeeze(-1).cpu()


def _patch(
    layout: Layout, layer: int, variants: Sequence[Variant], means: Tensor, start: int, step: int
) -> Callable[[Tensor], Tensor]:
    """Replace, in the copy of each variant of one layer, the head's slice."""
    chosen = [(start + i * step, head) for i, (at, head) in enumerate(variants) if at == layer]
    tokens = torch.tensor([token for token, _ in chosen])
    heads = torch.tensor([head for _, head in chosen])

    rows, values = torch.zeros_like(tokens), means[layer, heads]
    return lambda x: layout.with_heads(x, rows, tokens, heads, values)
