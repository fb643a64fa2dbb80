"""Prompts that begin alike: their common beginning is computed once.

Few-shot documents with the same demonstrations, one instruction before every question, several
answers to one long question: the rows of such a group share a prefix, whose keys and values are
computed once and continued by every row. The numbers are those of whole rows up to rounding; a
probe on the model at hand decides whether they are.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from steering.rounding import same_but_for_rounding
from steering.tokens import common

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from lm_eval.models.huggingface import HFLM
    from torch import Tensor

    from harness.lm.scoring import Row

LEAST_TOKENS = 32
"""A shorter prefix, or one of less than half of what its rows hold, is not worth a pass."""

LEAST_ROWS = 8
"""Fewer rows fill no batch, and would each be taken out of a fuller one."""


class Prefixes:
    """Groups of rows, where a model continues prefixes rightly; found out once, on a real row.

    Args:
        lm: The model inside lm-eval.

    Attributes:
        hold: What was found out; None before it was needed.
    """

    def __init__(self, lm: HFLM) -> None:
        self.lm = lm
        self.hold: bool | None = None

    def groups(
        self, every: Sequence[Row], apart: Container[Any] = ()
    ) -> list[tuple[int, list[Row]]]:
        """Rows by the prefix that they share; all of them alone where the model cannot share.

        Args:
            every: In the order in which they are answered.
            apart: As in `by_prefix`.
        """
        alone = [(0, list(every))]
        if self.hold is False or self.lm.mixed_precision_dtype is not None:
            return alone
        groups = by_prefix(every, self.lm.max_length, apart)
        shared, (row, *_) = groups[0] if groups else alone[0]
        if shared and self.hold is None:
            self.hold = self._continues(row, shared)
        return alone if self.hold is False else groups

    def _continues(self, row: Row, shared: int) -> bool:
        """Whether an unsteered row after its cached prefix has the logits of the whole row."""
        model, tokens = self.lm.model, row.tokens(self.lm.max_length)
        try:
            cache = prefill(model, tokens[:shared])
            rest = continued(model, cache, torch.tensor([tokens[shared:]], device=model.device))
        except (RuntimeError, ValueError, TypeError, AttributeError):
            return False  # a cache that cannot be repeated or continued

        def plain() -> Tensor:
            ids = torch.tensor([tokens], device=model.device)
            whole: Tensor = self.lm._model_call(ids)
            return whole[:, -rest.shape[1] :]

        return same_but_for_rounding(model, rest, plain, allowed=1e-3)


def by_prefix(
    rows: Sequence[Row], max_length: int, apart: Container[Any] = ()
) -> list[tuple[int, list[Row]]]:
    """Put rows that share a prefix together.

    Args:
        rows: In the order in which they are answered.
        max_length: The model's length; rows that are cut to it share nothing.
        apart: Owners whose rows share nothing: what their vectors do at a prompt's beginning
            depends on the rest of it.

    Returns:
        Number of tokens shared and the rows, in the given order; 0 for those that share none.
    """
    alone, groups = set(range(len(rows))), []
    tokens = [row.tokens(max_length) for row in rows]
    whole = [i for i, row in enumerate(rows) if sum(map(len, row.request[1:])) <= max_length + 1]
    for owner in {rows[i].owner: None for i in whole if rows[i].owner not in apart}:
        own = [i for i in whole if rows[i].owner == owner]
        for size, members in _runs(sorted(own, key=lambda i: tokens[i]), tokens):
            shared = min(size, *(rows[i].shareable(len(tokens[i])) for i in members))
            half = sum(len(tokens[i]) for i in members) / 2
            pays = shared >= LEAST_TOKENS and shared * len(members) >= half
            if pays and len(members) >= LEAST_ROWS:
                groups.append((shared, [rows[i] for i in sorted(members)]))
                alone -= set(members)
    rest = [rows[i] for i in sorted(alone)]
    return [*groups, *([(0, rest)] if rest else [])]


def _runs(order: Sequence[int], tokens: Sequence[list[int]]) -> list[tuple[int, list[int]]]:
    """Neighbours in alphabetical order that share LEAST_TOKENS or more, and how many they share."""
    runs: list[tuple[int, list[int]]] = []
    for before, i in zip([None, *order], order, strict=False):
        alike = 0 if before is None else common(tokens[before], tokens[i])
        if runs and alike >= LEAST_TOKENS:
            size, members = runs[-1]
            runs[-1] = (min(size, alike), [*members, i])
        else:
            runs.append((len(tokens[i]), [i]))
    return runs


@torch.no_grad()
def prefill(model: Any, tokens: Sequence[int]) -> Any:
    """The KV cache (one row) of a prefix."""
    ids = torch.tensor([tokens], device=model.device)
    return model(input_ids=ids, use_cache=True).past_key_values


@torch.no_grad()
def continued(model: Any, cache: Any, inputs: Tensor) -> Tensor:
    """Logits (b, s, v) of right-padded rows that continue a cached prefix."""
    own = copy.deepcopy(cache)
    own.batch_repeat_interleave(len(inputs))
    logits: Tensor = model(input_ids=inputs, past_key_values=own, use_cache=True).logits
    return logits
