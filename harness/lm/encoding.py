"""Prompts and answers as one model encodes them, and a count of those that do not fit."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.lm.arguments import BadArguments, tokens_written
from steering.tokens import Pair, encode_pair, prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from harness.lm.scoring import Request

CUT_PROMPT = "prompts cut on the left"
LONG_ANSWER = "answers longer than the model's context"
NO_TOKEN = "answers without a token of their own"
MERGED = "answers that begin inside the prompt's last token"

IMPOSSIBLE = (-math.inf, False)
"""Log-probability and greediness of an answer that cannot be scored."""


class Encoding:
    """What `steering.tokens` says of the texts that a model is asked.

    Args:
        lm: The model inside lm-eval.

    Attributes:
        remarks: By task and kind: how many requests do not fit, so far. An answer that cannot be
            scored counts as wrong and impossible.
        asked: By task: all requests so far.
    """

    def __init__(self, lm: HFLM) -> None:
        self.lm = lm
        self.remarks: dict[str, Counter[str]] = {}
        self.asked: Counter[str] = Counter()
        self.pair: Callable[[str, str], Pair] = lru_cache(maxsize=2**16)(self._pair)
        self.after: Callable[[str], int] = lru_cache(maxsize=2**12)(self._after)

    def _pair(self, prompt: str, answer: str) -> Pair:
        """A prompt with its answer; an empty prompt is the prefix token, as in lm-eval."""
        opening = self.lm.prefix_token_id
        if prompt == "":
            own = self.lm.tok_encode(answer, add_special_tokens=False)
            return Pair((*([opening] if own[:1] != [opening] else []), *own), 1, 1, 1)
        pair = encode_pair(self.lm.tok_encode, prompt, answer)
        if pair.scored:
            return pair
        tokens = (opening, *pair.tokens)
        return Pair(tokens, 1, max(1, pair.end + 1), max(1, pair.own + 1), pair.apart)

    def _after(self, prompt: str) -> int:
        """How many tokens stand after the end of a prompt that is generated from."""
        if not prompt[-1:].isspace():
            return 0
        encode = self.lm.tok_encode
        return len(encode(prompt)) - len(prompt_tokens(encode, prompt))

    def scorable(self, requests: Sequence[Instance]) -> list[tuple[int, tuple[str, str]]]:
        """The requests whose answers can be scored, with their places; notes what does not fit."""
        every = [(place, request) for place, request in enumerate(requests)]
        return [(i, one.args) for i, one in every if self._fits(one.task_name, *one.args)]

    def _fits(self, task: str | None, prompt: str, answer: str) -> bool:
        pair, longest = self.pair(prompt, answer), int(self.lm.max_length)
        remarks = self.remarks.setdefault(str(task), Counter())
        self.asked[str(task)] += 1
        if not pair.apart:
            remarks[MERGED] += 1
        if pair.empty:
            remarks[NO_TOKEN] += 1
            return False
        if len(pair.tokens) - pair.scored > longest:
            remarks[LONG_ANSWER] += 1
            return False
        if len(pair.tokens) > longest + 1:
            remarks[CUT_PROMPT] += 1
        return True

    def forget(self) -> None:
        """Count from here on."""
        self.remarks.clear()
        self.asked.clear()

    def unfit(self, task: str) -> dict[str, int]:
        """The remarks on a task's requests, beside the number of them; empty without any."""
        found = dict(self.remarks.get(task, ()))
        return {"requests": self.asked[task], **found} if found else {}

    def starts(self, request: Request) -> tuple[int, int]:
        """How many tokens of a continuation belong to its prompt, and how many are given."""
        text, context, target = request
        if text is None:
            return 0, 0
        pair = self.pair(*text)
        known = list(pair.tokens) == context + target
        return (pair.end - pair.scored, pair.own - pair.scored) if known else (0, 0)

    def require_room(self, requests: Sequence[Instance]) -> None:
        """Note the prompts that HFLM will cut; refuse one that would be cut to nothing.

        Raises:
            BadArguments: as many tokens are to be written as the model's context has.
        """
        for request in requests:
            self._room(request.task_name, *request.args)

    def _room(self, task: str | None, prompt: str, settings: Mapping[str, Any]) -> None:
        longest = int(self.lm.max_length)
        written = tokens_written(str(task), settings, self.lm.max_gen_toks)
        if written >= longest:
            raise BadArguments(
                f"{task} writes up to {written} tokens (max_gen_toks) and the model's context has "
                f"{longest}: none is left for a prompt; lower it with --gen_kwargs max_gen_toks=N"
            )
        self.asked[str(task)] += 1
        size = len(prompt.encode())  # no fewer than its tokens, special ones aside
        room = longest - written
        if size + 8 > room and len(self.lm.tok_encode(prompt)) > room:
            self.remarks.setdefault(str(task), Counter())[CUT_PROMPT] += 1
