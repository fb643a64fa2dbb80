"""Rows for scoring continuations, laid out exactly as lm-eval's HFLM lays them out.

HFLM feeds `(context + continuation)[:-1]`, padded with zeros on the right, without an attention
mask. The same rows with the same padding give the same logits to the last bit; the lengths that
HFLM forgets are kept here, because positions are made from them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm_eval.api.instance import Instance
    from torch import Tensor

Text: TypeAlias = "tuple[str, str] | None"
Request: TypeAlias = "tuple[Text, list[int], list[int]]"
"""Context and continuation as text (None: a rolling window) and as token ids."""
Answer: TypeAlias = "tuple[float, bool]"


class Scored(tuple[float, bool]):
    """An answer as lm-eval knows it, which also knows how its first token ranks.

    Attributes:
        rank: How many tokens are likelier than the answer's first one after the prompt.
    """

    rank: int

    def __new__(cls, answer: Answer, rank: int = 0) -> Scored:
        """Take the log-probability of the answer, whether it is greedy, and the rank."""
        made = super().__new__(cls, answer)
        made.rank = rank
        return made


class Owned(str):
    """A context that knows whose vector it is answered under; lm-eval passes it on as a text.

    Attributes:
        owner: Name of a task.
        draw: What names its sampled answer: task, document, and how many were asked before.
    """

    owner: str | None
    draw: str

    def __new__(cls, text: str, owner: str | None, draw: str = "") -> Owned:
        """Mark a text."""
        made = super().__new__(cls, text)
        made.owner, made.draw = owner, draw
        return made


def owner_of(context: str | None) -> str | None:
    """Whose vector a context is answered under; None for a plain text."""
    return context.owner if isinstance(context, Owned) else None


def owned(requests: Sequence[Instance]) -> list[Instance]:
    """Requests that carry their task, document and number in their context."""
    asked: Counter[str] = Counter()
    marked = []
    for request in requests:
        text, task = str(request.args[0]), request.task_name
        place = f"{task} {text if request.doc_id is None else request.doc_id} {request.idx}"
        own = Owned(text, task, f"{place} {asked[place]}")
        asked[place] += 1
        marked.append(replace(request, arguments=(own, *request.args[1:])))
    return marked


@dataclass(frozen=True)
class Row:
    """What the model reads once, and the requests that it answers.

    Attributes:
        owner: Whose vector steers it.
        asked: The requests, each with its place in the order asked; their continuations differ in
            the last token only.
        before: Tokens of the continuation that belong to the prompt: lm-eval counts the white
            space at a prompt's end to what is scored.
        given: Tokens of the continuation that a generation from the prompt finds there.
    """

    owner: str | None
    asked: list[tuple[int, Request]]
    before: int = 0
    given: int = 0

    @property
    def request(self) -> Request:
        """The first of the requests."""
        return self.asked[0][1]

    def tokens(self, max_length: int) -> list[int]:
        """The input, cut to the model's length from the left."""
        _, context, target = self.request
        return (context + target)[-(max_length + 1) :][:-1]

    def prompt(self, total: int) -> int:
        """Prompt tokens of an input of `total`; a rolling window's first token is its prompt."""
        text, _, target = self.request
        return 1 if text is None else total - len(target) + 1 + self.before

    def shareable(self, total: int) -> int:
        """First tokens at which nothing is edited and nothing scored is predicted."""
        return min(self.prompt(total) - 1, total - len(self.request[2]))


def rows(
    requests: Sequence[Request], *, merge: bool, starts: Sequence[tuple[int, int]] | None = None
) -> list[Row]:
    """The rows that answer all requests, longest first, in HFLM's order.

    Requests that share their input, the end of their prompt and their owner share a row. (HFLM
    looks at the input alone and reads some answers at another one's tokens.)

    Args:
        requests: As lm-eval tokenised them.
        merge: Let requests share rows.
        starts: `before` and `given` of each request.
    """
    found: dict[object, Row] = {}
    for place, request in enumerate(requests):
        text, context, target = request
        owner = owner_of(text[0]) if text else None
        start = starts[place] if starts else (0, 0)
        key = (tuple(context + target[:-1]), len(context), start, owner) if merge else place
        found.setdefault(key, Row(owner, [], *start)).asked.append((place, request))
    return sorted(found.values(), key=_longest_first)


def _longest_first(row: Row) -> tuple[int, tuple[int, ...]]:
    tokens = row.request[1] + row.request[2]
    return -len(tokens), tuple(tokens)


@dataclass(frozen=True)
class Batch:
    """Right-padded rows.

    Attributes:
        rows: The b rows.
        inputs: Token ids (b, s) after the first `start`, zeros on the right.
        totals: Number of real tokens of each row, the first `start` included.
        prompts: Number of prompt tokens of each row, likewise.
        start: Tokens that a KV cache holds already.
    """

    rows: Sequence[Row]
    inputs: Tensor
    totals: list[int]
    prompts: list[int]
    start: int

    @classmethod
    def of(
        cls, rows: Sequence[Row], max_length: int, device: torch.device, start: int = 0
    ) -> Batch:
        """Lay out rows."""
        tokens = [row.tokens(max_length) for row in rows]
        totals = [len(ids) for ids in tokens]
        width = max(totals)
        padded = [ids[start:] + [0] * (width - len(ids)) for ids in tokens]
        prompts = [row.prompt(total) for row, total in zip(rows, totals, strict=True)]
        return cls(rows, torch.tensor(padded, device=device), totals, prompts, start)

    def longest(self) -> list[Row]:
        """Of each owner the row with the most tokens after its prompt."""
        spare = [total - prompt for total, prompt in zip(self.totals, self.prompts, strict=True)]
        order = sorted(range(len(self.rows)), key=lambda i: -spare[i])
        found: dict[str | None, Row] = {}
        for i in order:
            found.setdefault(self.rows[i].owner, self.rows[i])
        return list(found.values())

    def answers(self, logits: Tensor, dtype: torch.dtype | None) -> list[tuple[int, Text, Scored]]:
        """Place and text of every request, and (log-probability, is it the greedy continuation).

        The log-softmax is taken only where a continuation token is predicted (HFLM takes it
        everywhere); each row's values are the same to the last bit. One transfer per batch.

        Args:
            logits: (b, s', vocabulary); s' > s where a soft prompt was put before the tokens.
            dtype: Data type of the log-softmax, as in HFLM.
        """
        shift = logits.shape[1] - self.inputs.shape[1] - self.start
        sizes = [len(row.request[2]) for row in self.rows]
        ends = [total + shift for total in self.totals]
        row = [i for i, size in enumerate(sizes) for _ in range(size)]
        column = [j for end, size in zip(ends, sizes, strict=True) for j in range(end - size, end)]
        index = torch.tensor([row, column], device=logits.device)
        log_probs = F.log_softmax(logits[index[0], index[1]], dim=-1, dtype=dtype)  # (tokens, v)
        asked = [request for each in self.rows for request in each.asked]
        lengths = [len(target) for _, (_, _, target) in asked]
        given = [each.given for each in self.rows for _ in each.asked]
        first, places = 0, []
        for each, size in zip(self.rows, sizes, strict=True):
            places += [*range(first, first + size)] * len(each.asked)
            first += size
        tokens = list(chain.from_iterable(target for _, (_, _, target) in asked))
        where = torch.tensor([places, tokens], device=logits.device)
        picked = log_probs[where[0], where[1]].split(lengths)
        hits = (log_probs.argmax(dim=-1)[where[0]] == where[1]).split(lengths)
        sums = torch.stack([values.sum() for values in picked])
        greedy = torch.stack([hit[n:].all() for hit, n in zip(hits, given, strict=True)])
        starts = [0, *accumulate(lengths)]
        begins = [
            start + min(n, length - 1)
            for start, n, length in zip(starts, given, lengths, strict=False)
        ]
        own = log_probs[where[0][begins]]  # (asked, v)
        ranks = (~(own <= own.gather(1, where[1][begins][:, None]))).sum(dim=1)  # NaN is no hit
        all_three = torch.stack([sums.double(), greedy.double(), ranks.double()], dim=1).tolist()
        answers = [Scored((value, bool(hit)), int(rank)) for value, hit, rank in all_three]
        return [(at, text, own) for (at, (text, _, _)), own in zip(asked, answers, strict=True)]
