"""Many variants of a prompt's last token in ONE forward pass.

An edit at the last token leaves everything before it as it is. So copies of the last token are
appended to the prompt, one per variant, all at the position of the last token; a mask lets each
copy see the prompt before it and itself, nothing else. One pass over the prompt and its copies
gives every variant, exactly. Where answers of several tokens are asked, each copy is a block of
its own: the last prompt token and the answer but its last token.

A copy differs from the unedited one only from its edited layer on. `staged` passes let it enter
there, as a copy of the unedited one: on average half the work.

Prompts of different lengths share a pass: they are padded on the left, behind the mask. Where a
layer sees a sliding window only, the mask of that layer says so.

The mask is additive and of the model's dtype (a boolean one is silently wrong wherever attention
runs eagerly), and positions are explicit. Models that take their positions from the index (ALiBi)
cannot branch: `effects.best_path` finds out with a probe against plain forward passes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steering.hooks import Change, changing, entering, unembedding_in_parts
from steering.memo import memory_bound
from steering.sites import resolve
from steering.tokens import Ids
from steering.tracing import input_device, last_logits

FEWEST, MOST = 256, 1024
"""Tokens of one branched pass, at the least and at the most: twice as many are slower."""

SOFTMAX = 64
"""Rows whose log-softmax is taken at once: 580 rows of 50,257 take a third of the time so."""

Variant = tuple[int, int]
"""(layer, head)."""
Changes = Callable[[Sequence[int], Sequence[slice], int], Mapping[tuple[str, int], Change]]
"""(which variants, at which tokens of a row each one stands, rows) -> what a pass changes."""


def tokens_of_a_pass(model: Any) -> int:
    """How many tokens a pass may have within the block's bound (`memo.remembering`).

    Without one it is an eighth of the machine's (or the accelerator's) memory: of all of it,
    because a bound that follows what happens to be free changes the batches, and with them the
    last digits, from run to run.
    """
    config = model.config.get_text_config()
    per_token = 4 * (3 * int(config.vocab_size) + 40 * resolve(model).hidden_size)
    bound = memory_bound()
    if bound is None and input_device(model).type == "cuda":
        bound = torch.cuda.mem_get_info(input_device(model))[1] // 8
    if bound is None:
        bound = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
    return max(FEWEST, min(MOST, bound // per_token))


def branched_logits(
    model: Any,
    prompts: Sequence[Ids],
    answers: Sequence[Ids],
    layers: Sequence[int],
    changes: Changes,
    *,
    staged: bool = True,
) -> Iterator[tuple[list[int], list[int], Tensor]]:
    """Logits of answers under each of k variants, in passes that fit the memory.

    Args:
        model: A Hugging Face decoder.
        prompts: n lists of token ids.
        answers: n lists of token ids.
        layers: The first layer that each variant changes (k).
        changes: Makes the changes of a pass.
        staged: Let copies enter at their layer.

    Yields:
        The numbers of b prompts with answers of m tokens, those of c variants, and logits
        (b, c + 1, m, v): those of the unedited model first.
    """
    most = tokens_of_a_pass(model)
    order = sorted(range(len(layers)), key=lambda i: layers[i])
    for group in _alike(prompts, answers):
        m, longest = len(answers[group[0]]), len(prompts[group[0]])
        room = max(1, (most - longest) // m - 1)  # variants of one pass
        for start in range(0, max(1, len(order)), room):
            chosen = order[start : start + room]
            batch = max(1, most // (longest + m * (len(chosen) + 1)))
            for first in range(0, len(group), batch):
                own = group[first : first + batch]
                texts = [(prompts[i], answers[i]) for i in own]
                yield own, chosen, _one_pass(model, texts, chosen, layers, changes, staged)


def _alike(prompts: Sequence[Ids], answers: Sequence[Ids]) -> list[list[int]]:
    """Numbers of the prompts whose answers have the same number of tokens, longest first."""
    groups: dict[int, list[int]] = {}
    for i in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
        groups.setdefault(len(answers[i]), []).append(i)
    return list(groups.values())


@torch.no_grad()
def _one_pass(
    model: Any,
    texts: Sequence[tuple[Ids, Ids]],
    chosen: Sequence[int],
    layers: Sequence[int],
    changes: Changes,
    staged: bool,
) -> Tensor:
    device, m, k = input_device(model), len(texts[0][1]), len(chosen) + 1
    before = max(len(prompt) for prompt, _ in texts) - 1
    pads = [before + 1 - len(prompt) for prompt, _ in texts]
    ids = torch.tensor(
        [
            [*[0] * pad, *prompt[:-1], *[prompt[-1], *answer[:-1]] * k]
            for (prompt, answer), pad in zip(texts, pads, strict=True)
        ],
        device=device,
    )  # (b, s)
    column = torch.arange(ids.shape[1], device=device)
    pad = torch.tensor(pads, device=device)[:, None]
    along = column.where(column < before, before + (column - before) % m)
    owners = ((column - before) // m).where(column >= before, -1)
    sees = (column[:, None] >= column) & ((owners == -1) | (owners[:, None] == owners))
    seen = sees & ((column >= pad)[:, None] | (column[:, None] == column))  # (b, s, s)
    mask = _additive(seen, model.dtype)
    narrow = {
        width: _additive(seen & (along[:, None] - along < width), model.dtype)
        for width in set(resolve(model).windows)
        if width is not None and width < before + m
    }
    places = [slice(before + i * m, before + (i + 1) * m) for i in range(1, k)]
    entries = [layers[i] for i in chosen]
    with (
        _by_layer(model, before, m, entries if staged else [0] * len(entries), narrow),
        changing(model, changes(chosen, places, len(texts))),
        unembedding_in_parts(model),
    ):
        logits: Tensor = model(
            input_ids=ids, attention_mask=mask, position_ids=(along - pad).clamp_min(0),
            use_cache=False, **last_logits(model, k * m),
        ).logits[:, -k * m :]  # fmt: skip
    return logits.view(len(texts), k, m, -1)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores: (b, s, s) -> (b, 1, s, s)."""
    mask = torch.zeros(len(seen), 1, *seen.shape[1:], dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen[:, None], torch.finfo(dtype).min)


@contextmanager
def _by_layer(
    model: Any, before: int, m: int, entries: Sequence[int], narrow: Mapping[int, Tensor]
) -> Iterator[None]:
    """Give each block the tokens whose layer has come, and the mask of its window.

    Args:
        model: A Hugging Face decoder.
        before: Prompt tokens before the last one.
        m: Tokens of each copy.
        entries: Layer of each copy, ascending.
        narrow: Masks by the window of a layer.
    """
    layout = resolve(model)
    if not any(entries) and not narrow:
        yield
        return
    widths = [
        before + m * (1 + sum(entry <= layer for entry in entries))
        for layer in range(layout.n_layers)
    ]

    def enter(layer: int, arguments: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(arguments))
        x, width = arguments[name], widths[layer]
        if x.shape[1] < width:
            plain = x[:, before : before + m]
            x = torch.cat([x, plain.repeat(1, (width - x.shape[1]) // m, 1)], dim=1)
        own = narrow.get(layout.windows[layer] or 0)
        given = arguments if own is None else {**arguments, "attention_mask": own}
        cut = {key: _cut(key, value, width) for key, value in given.items() if key != name}
        return {name: x[:, :width], **cut}

    with entering(model, enter):
        yield


def _cut(name: str, value: Any, width: int) -> Any:
    """The part of a block's argument that belongs to the first tokens."""
    if name == "position_embeddings" and isinstance(value, tuple):
        return tuple(part[..., :width, :] for part in value)
    if name == "position_embeddings" and isinstance(value, Tensor):
        return value[..., :width, :]  # as complex numbers
    if not isinstance(value, Tensor):
        return value
    if name == "attention_mask":
        return value[..., :width, :width]
    return value[..., :width] if name in ("position_ids", "cache_position") else value


def patched_log_probs(
    model: Any,
    prompts: Sequence[Ids],
    answers: Sequence[Ids],
    variants: Sequence[Variant],
    means: Tensor,
    *,
    staged: bool = True,
) -> list[Tensor]:
    """Log-probabilities of answers' tokens with one head replaced at the last prompt token.

    Args:
        model: A Hugging Face decoder.
        prompts: n lists of token ids.
        answers: n lists of m token ids, m of each its own.
        variants: k heads, each replaced by itself alone.
        means: What replaces them (l, h, d_h).
        staged: Let copies enter at their layer.

    Returns:
        n times (k + 1, m): the unpatched model first. float32 on the CPU.
    """
    layout = resolve(model)
    means = means.to(input_device(model))

    def changes(
        chosen: Sequence[int], places: Sequence[slice], batch: int
    ) -> Mapping[tuple[str, int], Change]:
        here = [variants[i] for i in chosen]
        return {
            ("head_output", layer): patch(layer, here, places, batch)
            for layer in sorted({layer for layer, _ in here})
        }

    def patch(layer: int, here: Sequence[Variant], places: Sequence[slice], batch: int) -> Change:
        own = [i for i, (at, _) in enumerate(here) if at == layer]
        cells = [(row, places[i].start, here[i][1]) for row in range(batch) for i in own]
        rows, tokens, heads = torch.tensor(cells, device=means.device).T
        values = means[layer, heads]
        return lambda x: layout.with_heads(x, layer, rows, tokens, heads, values)

    layers = [layer for layer, _ in variants]
    parts: list[list[tuple[Sequence[int], Tensor]]] = [[] for _ in prompts]
    for own, chosen, logits in branched_logits(
        model, prompts, answers, layers, changes, staged=staged
    ):
        numbers = [0, *(number + 1 for number in chosen)]
        log_probs = answer_log_probs(logits, [answers[i] for i in own])
        for i, values in zip(own, log_probs, strict=True):
            parts[i].append((numbers, values))
    return [in_order(each).cpu() for each in parts]


def in_order(parts: Sequence[tuple[Sequence[int], Tensor]]) -> Tensor:
    """Put rows in the order of their numbers: parts of (c) numbers and (c, ...) -> (k, ...).

    A number that stands in several parts is taken from the last one.
    """
    numbers = [number for own, _ in parts for number in own]
    place = {number: row for row, number in enumerate(numbers)}
    return torch.cat([rows for _, rows in parts])[[place[number] for number in sorted(place)]]


def answer_log_probs(logits: Tensor, answers: Sequence[Ids]) -> Tensor:
    """How likely answers are; nothing leaves the device.

    Args:
        logits: Of the tokens before the answers' (b, k, m, v).
        answers: b lists of m token ids.

    Returns:
        (b, k, m), float32 or wider.
    """
    wanted = torch.tensor(answers, device=logits.device)[:, None].expand(logits.shape[:-1])
    wide = torch.promote_types(logits.dtype, torch.float32)
    parts = zip(logits.flatten(0, -2).split(SOFTMAX), wanted.flatten().split(SOFTMAX), strict=True)
    found = [
        F.log_softmax(rows, dim=-1, dtype=wide).gather(-1, tokens.unsqueeze(-1))
        for rows, tokens in parts
    ]
    return torch.cat(found).view(logits.shape[:-1])
