"""A grid over layers and coefficients for the price of about one evaluation.

Edits at the last prompt token and after it are variants of a branched pass: every cell of the grid
costs one copy of the answer's tokens instead of a whole prompt. Edits at all positions change the
prompt itself: there the cells are rows of one batch, each with its own coefficient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from steering.activations import rows
from steering.branching import answer_log_probs, branched_logits
from steering.effects import best_path
from steering.errors import BadVector
from steering.hooks import Change
from steering.operations import OPERATIONS
from steering.vector import Edit, SteeringVector

BRANCHING = ("last_prompt", "continuation")
"""Positions that leave everything before the last prompt token as it is."""

ROWS = 64
"""Rows of one batch where cells are rows."""


@dataclass(frozen=True, eq=False)
class Swept:
    """One prompt under every cell.

    Attributes:
        log_probs: Of the answer's tokens (k, m), float32.
        greedy: Whether each token is the likeliest one (k, m).
    """

    log_probs: Tensor
    greedy: Tensor


def sweep(
    model: Any, prompt: Sequence[int], answer: Sequence[int], vectors: Sequence[SteeringVector]
) -> Swept:
    """Score an answer under k steering vectors, each at its own coefficient.

    Args:
        model: A Hugging Face decoder.
        prompt: T token ids.
        answer: m token ids.
        vectors: k vectors. Those of one edit at BRANCHING positions share one pass; the others,
            if they differ in the coefficient only, share batches.

    Returns:
        The scores of an answer after each, as if the vector were attached alone.
    """
    branched = [i for i, vector in enumerate(vectors) if _branches(model, vector)]
    log_probs = torch.zeros(len(vectors), len(answer))
    greedy = torch.zeros(len(vectors), len(answer), dtype=torch.bool)

    def keep(numbers: Sequence[int], logits: Tensor) -> None:
        wanted = torch.tensor(answer, device=logits.device)
        log_probs[list(numbers)] = answer_log_probs(logits, answer).float()
        greedy[list(numbers)] = (logits.argmax(dim=-1) == wanted).cpu()

    if branched:
        edits = [(vectors[i].edits[0], vectors[i].coefficient) for i in branched]
        layers = [edit.layer for edit, _ in edits]
        staged = best_path(model) == "staged"
        for chosen, logits in branched_logits(
            model, prompt, answer, layers, _changes(edits), staged=staged
        ):
            keep([branched[i] for i in chosen], logits[1:])
    for group in _alike([i for i in range(len(vectors)) if i not in set(branched)], vectors):
        for start in range(0, len(group), ROWS):
            numbers = group[start : start + ROWS]
            strengths = [vectors[i].coefficient for i in numbers]
            keep(numbers, _as_rows(model, prompt, answer, vectors[numbers[0]], strengths))
    return Swept(log_probs, greedy)


def _branches(model: Any, vector: SteeringVector) -> bool:
    one = len(vector.edits) == 1 and vector.edits[0].head is None
    at_the_end = one and vector.edits[0].positions in BRANCHING
    return at_the_end and best_path(model) in ("staged", "branching")


def _changes(edits: Sequence[tuple[Edit, float]]) -> Any:
    """The edits of a branched pass: every copy gets its own."""

    def changes(chosen: Sequence[int], places: Sequence[slice]) -> Mapping[tuple[str, int], Change]:
        at: dict[tuple[str, int], list[tuple[Edit, float, slice]]] = {}
        for i, place in zip(chosen, places, strict=True):
            edit, coefficient = edits[i]
            stop = place.stop if edit.positions == "continuation" else place.start + 1
            own = (edit, coefficient, slice(place.start, stop))
            at.setdefault((edit.site, edit.layer), []).append(own)
        return {site: _edit(parts) for site, parts in at.items()}

    return changes


def _edit(parts: Sequence[tuple[Edit, float, slice]]) -> Change:
    """Edit some tokens each in its own way; tokens with one operation in one stroke."""
    groups: dict[str, tuple[list[int], list[Tensor], list[float]]] = {}
    for edit, coefficient, where in parts:
        tokens, tensors, strengths = groups.setdefault(edit.operation, ([], [], []))
        for token in range(where.start, where.stop):
            tokens.append(token)
            tensors.append(edit.tensor)
            strengths.append(coefficient)
    ready = [
        (OPERATIONS[name], torch.tensor(tokens), torch.stack(tensors), torch.tensor(strengths))
        for name, (tokens, tensors, strengths) in groups.items()
    ]

    def change(x: Tensor) -> Tensor:
        flat = x.reshape(1, -1, x.shape[-1])  # OPT's MLP works on batch and tokens as one axis
        new = flat.clone()
        for operation, tokens, tensors, strengths in ready:
            here, v = tokens.to(x.device), tensors.to(x.device)
            c = strengths.to(x.device)[:, None]
            steered = operation(flat[0, here], v, c)
            new[0, here] = torch.where(c == 0, flat[0, here], steered)
        return new.view_as(x)

    return change


def _alike(numbers: Sequence[int], vectors: Sequence[SteeringVector]) -> list[list[int]]:
    """Vectors that differ in the coefficient only, together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i in numbers:
        groups.setdefault(tuple(id(edit) for edit in vectors[i].edits), []).append(i)
    return list(groups.values())


@torch.no_grad()
def _as_rows(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    vector: SteeringVector,
    strengths: Sequence[float],
) -> Tensor:
    """Logits of the answer's tokens (k, m, v), one row per strength."""
    texts = [[*prompt, *answer[:-1]]] * len(strengths)
    inputs, totals = rows(texts, model.device)
    coefficients = torch.tensor(strengths, device=model.device)
    with (
        vector.attached(model, coefficients) as attachment,
        attachment.lengths(torch.full_like(totals, len(prompt)), totals),
    ):
        logits: Tensor = model(**inputs, use_cache=False).logits
    return logits[:, len(prompt) - 1 :]


def grid(
    vector: SteeringVector, layers: Sequence[int], coefficients: Sequence[float]
) -> list[SteeringVector]:
    """The vector at every layer and coefficient, layer by layer.

    Args:
        vector: Of any number of edits; its layers can only be moved if it has one.
        layers: 0-based blocks; empty leaves the edits where they are.
        coefficients: Strengths.

    Raises:
        BadVector: layers for a vector with several edits.
    """
    if not layers:
        return [vector.with_coefficient(c) for c in coefficients]
    if len(vector.edits) != 1:
        raise BadVector(
            f"a vector with {len(vector.edits)} edits has no layer to be moved; sweep its "
            "coefficient only"
        )
    moved = [replace(vector, edits=(replace(vector.edits[0], layer=at),)) for at in layers]
    return [own.with_coefficient(c) for own in moved for c in coefficients]
