"""The first token after a prompt: how likely it is, and how often it is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import product
from typing import Any

import torch
from torch import Tensor

from steering.activations import rows
from steering.edit import Edit
from steering.errors import BadExamples
from steering.method import Examples
from steering.tokens import Ids, prompt_ids
from steering.tracing import last_logits
from steering.vector import SteeringVector, attached_by_row

EPSILON, SMOOTHING = 1e-8, 1e-6
"""Added to probabilities before log-odds and divergences, as in the published code."""


@torch.no_grad()
def last_log_probs(
    model: Any, prompts: Sequence[Ids], vector: SteeringVector | None = None
) -> Tensor:
    """Log-probabilities of the token after each prompt, steered: (n, v), in float64."""
    found = []
    for prompt in prompts:
        inputs, _ = rows([prompt], model)
        with vector.attached(model) if vector else nullcontext():
            logits = model(**inputs, use_cache=False, **last_logits(model)).logits[0, -1]
        found.append(logits.double().log_softmax(dim=-1).cpu())
    return torch.stack(found)


def log_odds(log_probs: Tensor, tokens: Sequence[int]) -> float:
    """Mean log-odds of one of some tokens: (n, v) -> a number (arXiv:2406.11717)."""
    p = log_probs.exp()[:, list(tokens)].sum(dim=-1)
    return float((torch.log(p + EPSILON) - torch.log(1 - p + EPSILON)).mean())


def divergence(plain: Tensor, steered: Tensor) -> float:
    """Mean KL(plain || steered) of log-probabilities (n, v), in nats, smoothed as published."""
    p, q = plain.exp(), steered.exp()
    ratio = torch.log(p + SMOOTHING) - torch.log(q + SMOOTHING)
    return float((p * ratio).sum(dim=-1).mean())


Edited = Callable[[Tensor, int, bool], Sequence[Edit]]
"""(direction, layer, whether it is added) -> the edits that ablate or add it."""


def least_likely(
    model: Any,
    directions: Tensor,
    edited: Edited,
    desired: Sequence[Ids],
    undesired: Sequence[Ids],
    targets: Sequence[int],
    *,
    largest_drift: float | None,
    least_induced: float | None,
) -> tuple[int, int]:
    """The direction whose ablation leaves first tokens of a behaviour least likely.

    Args:
        model: A Hugging Face decoder.
        directions: By token, counted from the end, and layer (p, l, d); those of the first 0.8 l
            layers are tried.
        edited: What a direction is ablated and added with.
        desired: Prompts that bring the behaviour about.
        undesired: Prompts that do not.
        targets: First tokens of the behaviour.
        largest_drift: Of the undesired prompts' next token under ablation, in nats; None: any.
        least_induced: Log-odds that adding must reach on undesired prompts; None: any.

    Returns:
        The token, -1 for the last, and the 0-based layer.

    Raises:
        BadExamples: no direction keeps the limits.
    """
    plain = last_log_probs(model, undesired)
    tokens, layers = directions.shape[:2]
    scores: dict[tuple[int, int], float] = {}
    for token, layer in product(range(-tokens, 0), range(max(1, int(0.8 * layers)))):
        ablated, added = (
            SteeringVector(tuple(edited(directions[token, layer], layer, add)))
            for add in (False, True)
        )
        drift = divergence(plain, last_log_probs(model, undesired, ablated))
        induced = log_odds(last_log_probs(model, undesired, added), targets)
        calm = largest_drift is None or drift <= largest_drift
        if calm and (least_induced is None or induced >= least_induced):
            scores[token, layer] = log_odds(last_log_probs(model, desired, ablated), targets)
    if not scores:
        raise BadExamples(
            "ablation: no direction keeps largest_drift and reaches least_induced; widen them, or "
            "set layer and token without targets"
        )
    return min(scores, key=lambda key: scores[key])


def agrees(prediction: str, answer: str) -> bool:
    """Whether a first token begins an answer, or holds it: both stripped, neither empty."""
    said, wanted = prediction.split("\n")[0].strip(), answer.strip()
    return bool(said and wanted) and (said.startswith(wanted) or wanted.startswith(said))


@torch.no_grad()
def accuracy_by_layer(
    model: Any,
    tokenizer: Any,
    examples: Examples,
    items: Sequence[tuple[str, str]],
    states: Sequence[Tensor],
) -> Tensor:
    """Share of items whose first token is right, the state replaced at one layer after the other.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        examples: Words the questions, without demonstrations.
        items: n pairs (x, y).
        states: For each item the states that are put at the last prompt token (l, d).

    Returns:
        (l).
    """
    right = torch.zeros(len(states[0]))
    for (x, y), own in zip(items, states, strict=True):
        ids = prompt_ids(tokenizer, [examples.prompt((), x)])
        vectors = [
            SteeringVector((Edit("block_output", layer, "replace", state, "last_prompt"),))
            for layer, state in enumerate(own)
        ]
        inputs, sizes = rows(ids * len(vectors), model)
        with attached_by_row(model, vectors) as attachment, attachment.lengths(sizes, sizes):
            logits = model(**inputs, use_cache=False, **last_logits(model)).logits[:, -1]
        said = [tokenizer.decode([token]) for token in logits.argmax(dim=-1).tolist()]
        right += torch.tensor([float(agrees(text, y)) for text in said])
    return right / len(items)
