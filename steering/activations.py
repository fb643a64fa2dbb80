"""What methods read from a model: one forward pass per batch, at the needed tokens only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from steering.errors import BadExamples, NotFinite, UnsupportedModel
from steering.hooks import capture
from steering.memo import reader, recall
from steering.sites import resolve
from steering.tokens import prompt_ids, require_room
from steering.tracing import input_device

BATCH = 16


def rows(sequences: Sequence[Sequence[int]], model: Any) -> tuple[dict[str, Tensor], Tensor]:
    """Right-padded inputs of a forward pass (b, s), and the lengths (b), for a model.

    Raises:
        BadExamples: one is longer than the model's context.
    """
    require_room(model, sequences)
    device = input_device(model)
    sizes = torch.tensor([len(sequence) for sequence in sequences])
    width = int(sizes.max())
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in sequences])
    real = torch.arange(width) < sizes[:, None]
    inputs = {"input_ids": ids, "attention_mask": real.long()}
    return {name: value.to(device) for name, value in inputs.items()}, sizes.to(device)


Select = Callable[[Tensor], Tensor]
"""What is kept of a batch's activations (b, s, d): (b, ...)."""


def _captured(
    model: Any,
    sequences: Sequence[Sequence[int]],
    batch_size: int,
    selecting: Callable[[Sequence[int], Tensor, Tensor], Select],
    **where: Any,
) -> Tensor:
    """What is selected of every sequence, those of like length in one pass: (n, l, ...).

    Args:
        model: A Hugging Face decoder.
        sequences: n lists of token ids.
        batch_size: Sequences per forward pass.
        selecting: (which sequences, their padded ids (b, s), their lengths (b)) -> what is kept.
        **where: As in `hooks.capture`.

    Raises:
        NotFinite: NaN or infinity.
    """
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    parts = []
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        inputs, sizes = rows([sequences[i] for i in chunk], model)
        select = selecting(chunk, inputs["input_ids"], sizes)
        parts.append(capture(model, inputs, select, **where))
    found = torch.cat(parts)[torch.argsort(torch.tensor(order))]
    if not torch.isfinite(found).all():
        raise NotFinite("activations are NaN or infinite; load the model in float32 or bfloat16")
    return found


def _last(k: int) -> Callable[[Sequence[int], Tensor, Tensor], Select]:
    """Select the mean over the last k real tokens."""

    def selecting(_: Sequence[int], ids: Tensor, sizes: Tensor) -> Select:
        index = torch.arange(ids.shape[1], device=sizes.device)
        chosen = (index < sizes[:, None]) & (index >= sizes[:, None] - k)
        weight = (chosen / chosen.sum(dim=1, keepdim=True)).float()
        return lambda x: torch.einsum("bs,bsd->bd", weight.to(x.device), x.float())

    return selecting


def last_token_hidden_states(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    last_k: int = 1,
    batch_size: int = BATCH,
    bos: bool = False,
) -> Tensor:
    """Hidden states after the embedding and after every block, at the end of each text.

    The first row is what the EMBEDDING MODULE writes, as in the reference code: token embeddings
    alone, without learned positions (GPT-2, OPT, GPT-Neo) and without a scale applied later. Where
    it is narrower than the residual stream (OPT-350M) it is the first block's input.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        texts: n texts.
        last_k: The mean over this many last tokens is taken.
        batch_size: Texts per forward pass.
        bos: As in `tokens.prompt_ids`.

    Returns:
        (n, l + 1, d), float32 on the CPU.
    """

    def compute() -> Tensor:
        layers = range(-1, resolve(model).n_layers)
        sequences = prompt_ids(tokenizer, texts, bos=bos)
        return _captured(model, sequences, batch_size, _last(last_k), layers=layers)

    return recall(("hidden", reader(model, tokenizer), tuple(texts), last_k, bos), compute)


Span = tuple[int, int]
"""Tokens start to stop - 1 of a sequence."""


def at_end(sequences: Sequence[Sequence[int]], k: int = 1) -> list[list[Span]]:
    """Spans of the last k tokens of each sequence, one by one."""
    return [[(len(own) - t, len(own) - t + 1) for t in range(k, 0, -1)] for own in sequences]


def token_states(
    model: Any,
    sequences: Sequence[Sequence[int]],
    spans: Sequence[Sequence[Span]],
    *,
    site: str = "block_output",
    batch_size: int = BATCH,
) -> Tensor:
    """Mean activations over given tokens of every sequence.

    Args:
        model: A Hugging Face decoder.
        sequences: n lists of token ids.
        spans: k spans of each sequence.
        site: Where to read, in every layer that has it.
        batch_size: Sequences per forward pass.

    Returns:
        (n, k, l, d), float32 on the CPU; narrower layers are zero at the end.

    Raises:
        BadExamples: a span that holds no token of its sequence.
        NotFinite: NaN or infinity.
        UnsupportedModel: no layer has the site.
    """
    if not resolve(model).layers(site):
        raise UnsupportedModel(f"no layer of this model has a {site}; use another method")
    for sequence, own in zip(sequences, spans, strict=True):
        if any(not 0 <= start < stop <= len(sequence) for start, stop in own):
            raise BadExamples(
                f"tokens {list(own)} of a text of {len(sequence)}; give longer texts or read "
                "another token"
            )

    def selecting(chunk: Sequence[int], ids: Tensor, _: Tensor) -> Select:
        weight = _weights([spans[i] for i in chunk], ids)
        return lambda x: torch.einsum("bks,bsd->bkd", weight.to(x.device), x.float())

    def compute() -> Tensor:
        layers = resolve(model).layers(site)
        found = _captured(model, sequences, batch_size, selecting, site=site, layers=layers)
        return found.transpose(1, 2)

    key = tuple(map(tuple, sequences)), tuple(map(tuple, spans))
    return recall(("tokens", reader(model), site, *key), compute)


def largest_projection(
    model: Any,
    sequences: Sequence[Sequence[int]],
    spans: Sequence[Span],
    direction: Tensor,
    layer: int,
    *,
    batch_size: int = BATCH,
) -> float:
    """The largest projection of a block's output on a direction, over tokens of n sequences.

    Args:
        model: A Hugging Face decoder.
        sequences: n lists of token ids.
        spans: The tokens of each sequence.
        direction: (d).
        layer: 0-based block.
        batch_size: Sequences per forward pass.

    Raises:
        NotFinite: NaN or infinity.
    """

    def selecting(chunk: Sequence[int], ids: Tensor, _: Tensor) -> Select:
        left_out = _weights([[spans[i]] for i in chunk], ids)[:, 0] == 0

        def select(x: Tensor) -> Tensor:
            along = x.float() @ direction.to(x.device)
            return along.masked_fill(left_out.to(x.device), -torch.inf).amax(dim=1)

        return select

    return float(_captured(model, sequences, batch_size, selecting, layers=[layer]).max())


def _weights(spans: Sequence[Sequence[Span]], ids: Tensor) -> Tensor:
    """What makes means over spans: (b, k, s), each row of sum 1."""
    weight = torch.zeros(len(spans), len(spans[0]), ids.shape[1])
    for row, own in enumerate(spans):
        for k, (start, stop) in enumerate(own):
            weight[row, k, start:stop] = 1 / (stop - start)
    return weight.to(ids.device)


def residual_norms(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, bos: bool = False
) -> Tensor:
    """Mean norm of the residual stream after every block, at the end of prompts.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        prompts: n prompts; one batch of them is enough, the norm hardly varies.
        bos: As in `prompt_ids`.

    Returns:
        (l), float32 on the CPU.
    """
    states = last_token_hidden_states(model, tokenizer, prompts, bos=bos)
    norms: Tensor = states[:, 1:].norm(dim=-1).mean(dim=0)
    return norms


def ends(
    model: Any, tokenizer: Any, prompts: Sequence[str], site: str, *, bos: bool = False
) -> Tensor:
    """A site's activations at the end of every prompt, in every layer that has it.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        prompts: n prompts.
        site: Where to read.
        bos: As in `prompt_ids`.

    Returns:
        (l, n, d), float32 on the CPU.
    """

    def compute() -> Tensor:
        sequences = prompt_ids(tokenizer, prompts, bos=bos)
        layers = resolve(model).layers(site)
        found = _captured(model, sequences, BATCH, _last(1), site=site, layers=layers)
        return found.transpose(0, 1)

    return recall(("ends", reader(model, tokenizer), site, tuple(prompts), bos), compute)


def mean_head_activations(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    batch_size: int = BATCH,
    bos: bool = False,
) -> Tensor:
    """Mean input of the attention's output projection, per head, at the last token.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        prompts: n prompts.
        batch_size: Prompts per forward pass.
        bos: As in `tokens.prompt_ids`.

    Returns:
        (l, h, d_h), float32 on the CPU; zero where a layer has no heads, and beyond the width of
        narrower ones. Source: arXiv:2310.15213, section 2.3.
    """

    def compute() -> Tensor:
        layout = resolve(model)
        sequences = prompt_ids(tokenizer, prompts, bos=bos)
        layers = layout.layers("head_output")
        found = _captured(model, sequences, batch_size, _last(1), site="head_output", layers=layers)
        means = torch.zeros(layout.n_layers, layout.n_heads, layout.head_dim)
        for layer, row in zip(layers, found.mean(dim=0), strict=True):
            own = layout.split_heads(row[: layout.width("head_output", layer)], layer)
            means[layer, :, : own.shape[1]] = own
        return means

    return recall(("heads", reader(model, tokenizer), tuple(prompts), bos), compute)
