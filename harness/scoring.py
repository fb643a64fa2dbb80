"""Rows for scoring continuations, laid out exactly as lm-eval's HFLM lays them out.

HFLM feeds `(context + continuation)[:-1]`, padded with zeros on the right, without an attention
mask. The same rows with the same padding give the same logits to the last bit; the lengths that
HFLM forgets are kept here, because positions are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm_eval.models.utils import Collator
    from torch import Tensor

Request: TypeAlias = "tuple[tuple[str, str] | None, list[int], list[int]]"
Answer: TypeAlias = "tuple[float, bool]"


def by_length(request: Request) -> tuple[int, tuple[int, ...]]:
    """Sort key: the longest first, then by tokens."""
    tokens = request[1] + request[2]
    return -len(tokens), tuple(tokens)


def input_tokens(request: Request) -> list[int]:
    """What the model reads for a request; requests that agree in it share one row."""
    return request[1] + request[2][:-1]


def split_alike(requests: Sequence[Request]) -> bool:
    """Whether requests with the same input also end their context at the same token.

    Where they do not, one row cannot serve both: its prompt would end in two places. (HFLM shares
    it all the same and reads the shorter continuation at the longer one's tokens.)
    """
    ends: dict[tuple[int, ...], int] = {}
    return all(
        ends.setdefault(tuple(input_tokens(request)), len(request[1])) == len(request[1])
        for request in requests
    )


@dataclass(frozen=True)
class Rows:
    """One right-padded batch.

    Attributes:
        chunk: The b requests.
        inputs: Token ids (b, s), zeros on the right.
        totals: Number of real tokens of each row.
        prompts: Number of prompt tokens of each row. A rolling window (a request without text) is
            a text of its own: its first token is the prompt.
    """

    chunk: Sequence[Request]
    inputs: Tensor
    totals: list[int]
    prompts: list[int]

    @classmethod
    def build(cls, chunk: Sequence[Request], max_length: int, device: torch.device) -> Rows:
        """Cut each request to the model's length, from the left, and pad on the right."""
        rows = [(context + target)[-(max_length + 1) :][:-1] for _, context, target in chunk]
        width = max(map(len, rows))
        return cls(
            chunk,
            torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device),
            [len(row) for row in rows],
            [
                1 if text is None else len(row) - len(target) + 1
                for row, (text, _, target) in zip(rows, chunk, strict=True)
            ],
        )

    def longest(self) -> int:
        """The row with the most tokens after its prompt."""
        spare = [total - prompt for total, prompt in zip(self.totals, self.prompts, strict=True)]
        return spare.index(max(spare))

    def answers(
        self, logits: Tensor, collator: Collator, dtype: torch.dtype | None
    ) -> list[tuple[tuple[str, str] | None, Answer]]:
        """(log-probability, is it the greedy continuation) of every request served by the rows.

        The log-softmax is taken only where a continuation token is predicted (HFLM takes it
        everywhere); each row's values are the same to the last bit. One transfer per batch.

        Args:
            logits: (b, s', vocabulary); s' > s where a soft prompt was put before the tokens.
            collator: Gives the requests that share a row.
            dtype: Data type of the log-softmax, as in HFLM.
        """
        shift = logits.shape[1] - self.inputs.shape[1]
        sizes = [len(target) for _, _, target in self.chunk]
        ends = [total + shift for total in self.totals]
        row = [i for i, size in enumerate(sizes) for _ in range(size)]
        column = [j for end, size in zip(ends, sizes, strict=True) for j in range(end - size, end)]
        log_probs = F.log_softmax(logits[row, column], dim=-1, dtype=dtype)  # (all tokens, vocab)
        texts: list[tuple[str, str] | None] = []
        targets: list[list[int]] = []
        places: list[int] = []
        start = 0
        for (text, context, target), size in zip(self.chunk, sizes, strict=True):
            window = log_probs[start : start + size].unsqueeze(0)
            for shared_text, shared_target, _ in collator.get_cache(
                req_str=text, cxt_toks=context, cont_toks=target, logits=window
            ):
                texts.append(shared_text)
                targets.append(shared_target)
                places.extend(range(start, start + size))
            start += size
        place = torch.tensor(places, device=logits.device)
        token = torch.tensor(list(chain.from_iterable(targets)), device=logits.device)
        lengths = [len(target) for target in targets]
        picked = torch.split(log_probs[place, token], lengths)
        sums = torch.stack([values.sum() for values in picked]).tolist()
        hits = torch.split(log_probs.argmax(dim=-1)[place] == token, lengths)
        greedy = torch.stack([hit.all() for hit in hits]).tolist()
        return list(zip(texts, zip(sums, greedy, strict=True), strict=True))
