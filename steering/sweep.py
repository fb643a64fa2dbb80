"""A grid over layers and coefficients for the price of about one evaluation.

Edits at the last prompt token and after it are variants of a branched pass: every cell of the grid
costs one copy of the answer's tokens instead of a whole prompt. Edits at all positions change the
prompt itself: there the cells are rows of one batch, each with its own vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from steering.activations import rows
from steering.branching import answer_log_probs, branched_logits, in_order
from steering.edit import Edit
from steering.effects import best_path
from steering.errors import BadVector
from steering.hooks import Change
from steering.operations import OPERATIONS, stacked
from steering.tokens import Ids
from steering.tracing import input_device
from steering.vector import SteeringVector, attached_by_row

BRANCHING = ("last_prompt", "continuation")
"""Positions that leave everything before the last prompt token as it is."""

ROWS = 64
"""Rows of one batch where cells are rows."""

Part: TypeAlias = "tuple[Sequence[int], list[Tensor]]"
"""Cells by number, and of each: the scores of the prompt's last tokens, and those of the answer."""


@dataclass(frozen=True, eq=False)
class Swept:
    """One prompt under every cell.

    Attributes:
        log_probs: Of the answer's tokens (k, m), float32.
        greedy: Whether each token is the likeliest one (k, m).
        before: Log-probabilities of the prompt's last tokens that are scored too (k, n), float32.
        ranks: How many tokens are likelier than each token (k, m), where that was asked for.
    """

    log_probs: Tensor
    greedy: Tensor
    before: Tensor
    ranks: Tensor | None = None

    def of(self, number: int) -> tuple[Tensor, Tensor]:
        """One cell: every scored log-probability, and which tokens of the answer are likeliest."""
        return torch.cat([self.before[number], self.log_probs[number]]), self.greedy[number]


def sweep(
    model: Any,
    prompts: Sequence[Ids],
    answers: Sequence[Ids],
    vectors: Sequence[SteeringVector],
    before: Sequence[int] | None = None,
    *,
    ranked: bool = False,
) -> list[Swept]:
    """Score answers under k steering vectors, each at its own coefficient.

    Args:
        model: A Hugging Face decoder.
        prompts: n lists of token ids.
        answers: n lists of token ids.
        vectors: k vectors. Those of one edit at BRANCHING positions are variants of branched
            passes, the others rows of plain ones.
        before: How many of each prompt's last tokens are scored too (`tokens.Pair`).
        ranked: Say how each token of the answers ranks, too.

    Returns:
        For each prompt the scores of its answer, as if each vector were attached alone.
    """
    before = before or [0] * len(prompts)
    found: list[list[Part]] = [[] for _ in prompts]
    path = best_path(model, prompts)
    fast = path in ("staged", "branching")
    branched = [number for number, vector in enumerate(vectors) if fast and _branches(vector)]
    if branched:
        edits = [(vectors[number].edits[0], vectors[number].coefficient) for number in branched]
        layers, finite = [edit.layer for edit, _ in edits], []
        plain = _before_edits(model, prompts, before)
        for own, chosen, logits in branched_logits(
            model, prompts, answers, layers, _changes(edits), staged=path == "staged"
        ):
            numbers = [branched[number] for number in chosen]
            scores = _scores(logits[:, 1:], [answers[i] for i in own], ranked)
            finite.append(scores[0].isfinite().all())
            for row, i in enumerate(own):
                ahead = plain[i].expand(len(numbers), -1)
                found[i].append((numbers, [ahead, *(each[row] for each in scores)]))
        if not bool(torch.stack(finite).all()):
            branched = []  # what breaks one copy reaches the others: 0 times NaN is NaN
    others = sorted(set(range(len(vectors))) - set(branched))
    cells = [(i, number) for i in _longest_first(prompts) for number in others]
    for start in range(0, len(cells), ROWS):
        chunk = cells[start : start + ROWS]
        texts = [(prompts[i], answers[i]) for i, _ in chunk]
        logits = _as_rows(model, texts, [vectors[number] for _, number in chunk])
        for (i, number), row in zip(chunk, logits, strict=True):
            first, last = len(prompts[i]) - 1, len(prompts[i]) - 1 + len(answers[i])
            scores = _scores(row[None, None, first:last], [answers[i]], ranked)
            ahead = _ahead(row, prompts[i], before[i])
            found[i].append(([number], [ahead[None], *(each[0] for each in scores)]))
    return [_swept(each) for each in found]


def _swept(parts: Sequence[Part]) -> Swept:
    columns = zip(*(tensors for _, tensors in parts), strict=True)
    numbers = [numbers for numbers, _ in parts]
    before, log_probs, greedy, *ranks = (
        in_order(list(zip(numbers, column, strict=True))) for column in columns
    )
    ranked = ranks[0].cpu() if ranks else None
    return Swept(log_probs.float().cpu(), greedy.cpu(), before.float().cpu(), ranked)


def _ahead(row: Tensor, prompt: Ids, count: int) -> Tensor:
    """Log-probabilities (count) of a prompt's last tokens, given a row's logits (s, v)."""
    first = len(prompt) - count
    return answer_log_probs(row[None, None, first - 1 : first - 1 + count], [prompt[first:]])[0, 0]


@torch.no_grad()
def _before_edits(model: Any, prompts: Sequence[Ids], before: Sequence[int]) -> list[Tensor]:
    """The same of every prompt, unsteered: edits at BRANCHING positions come later."""
    none = torch.zeros(0, device=input_device(model))
    found = [none] * len(prompts)
    asked = [i for i in _longest_first(prompts) if before[i]]
    for start in range(0, len(asked), ROWS):
        chunk = asked[start : start + ROWS]
        inputs, _ = rows([prompts[i][:-1] for i in chunk], model)
        for i, row in zip(chunk, model(**inputs, use_cache=False).logits, strict=True):
            found[i] = _ahead(row, prompts[i], before[i])
    return found


def _scores(logits: Tensor, answers: Sequence[Ids], ranked: bool) -> tuple[Tensor, ...]:
    """Of each token (b, k, m): its log-probability, whether it is the likeliest, and its rank."""
    wanted = torch.tensor(answers, device=logits.device)[:, None]
    found = answer_log_probs(logits, answers), logits.argmax(dim=-1) == wanted
    if not ranked:
        return found
    own = logits.gather(-1, wanted.expand(logits.shape[:-1]).unsqueeze(-1))
    return *found, (~(logits <= own)).sum(dim=-1)


def _longest_first(prompts: Sequence[Ids]) -> list[int]:
    return sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))


def _branches(vector: SteeringVector) -> bool:
    one = len(vector.edits) == 1 and vector.edits[0].head is None
    return one and vector.edits[0].positions in BRANCHING


def _changes(edits: Sequence[tuple[Edit, float]]) -> Any:
    """The edits of a branched pass: every copy gets its own."""

    def changes(
        chosen: Sequence[int], places: Sequence[slice], batch: int
    ) -> Mapping[tuple[str, int], Change]:
        at: dict[tuple[str, int], list[tuple[Edit, float, slice]]] = {}
        for i, place in zip(chosen, places, strict=True):
            edit, coefficient = edits[i]
            stop = place.stop if edit.positions == "continuation" else place.start + 1
            own = (edit, coefficient, slice(place.start, stop))
            at.setdefault((edit.site, edit.layer), []).append(own)
        return {site: _edit(parts, batch) for site, parts in at.items()}

    return changes


def _edit(parts: Sequence[tuple[Edit, float, slice]], batch: int) -> Change:
    """Edit some tokens each in its own way; tokens with one operation in one stroke."""
    groups: dict[Any, list[tuple[int, Edit, float]]] = {}
    for edit, coefficient, where in parts:
        own = groups.setdefault((edit.operation, *(t.shape for t in edit.tensors)), [])
        own += [(token, edit, coefficient) for token in range(where.start, where.stop)]
    ready = [
        (
            OPERATIONS[operation],
            torch.tensor([token for token, _, _ in own]),
            torch.stack([edit.tensor for _, edit, _ in own]),
            torch.tensor([coefficient for _, _, coefficient in own]),
            stacked([edit.parameters for _, edit, _ in own]),
        )
        for (operation, *_), own in groups.items()
    ]

    def change(x: Tensor) -> Tensor:
        split = x.reshape(batch, -1, x.shape[-1])  # OPT's MLP works on batch and tokens as one axis
        new = split.clone()
        for operation, tokens, tensors, strengths, parameters in ready:
            here, v = tokens.to(x.device), tensors.to(x.device)
            c = strengths.to(x.device)[:, None]
            plain = split[:, here]
            more = {name: value.to(x.device) for name, value in parameters.items()}
            new[:, here] = torch.where(c == 0, plain, operation(plain, v, c, **more))
        return new.view_as(x)

    return change


@torch.no_grad()
def _as_rows(
    model: Any, texts: Sequence[tuple[Ids, Ids]], vectors: Sequence[SteeringVector]
) -> Tensor:
    """Logits (b, s, v) of prompts with their answers, each row under its own vector."""
    device = input_device(model)
    inputs, totals = rows([[*prompt, *answer[:-1]] for prompt, answer in texts], model)
    ends = torch.tensor([len(prompt) for prompt, _ in texts], device=device)
    with (
        attached_by_row(model, vectors) as attachment,
        attachment.lengths(ends, totals),
    ):
        logits: Tensor = model(**inputs, use_cache=False).logits
    return logits


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
