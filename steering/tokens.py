"""Which tokens are the prompt and which are its answer: the one place that decides it.

A fit reads activations at the prompt's last token, scoring and generation edit from there on, and
all of them must mean the same token. A prompt that ends in white space makes that hard: a newline
after a chat template's header is a token of its own, which the model reads before it answers,
while a blank is one only until a word follows and swallows it. So:

* the prompt ends with the last token that stands whatever follows (`prompt_ids`);
* the answer is what follows it in the tokens of the whole text (`encode_pair`);
* log-probabilities are those of lm-eval's `hf`, which counts the white space at the end of a
  prompt to the answer; whether an answer is greedy asks for the tokens alone that a generation
  from the prompt has to write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch.nn import Embedding

from steering.errors import BadExamples

logger = logging.getLogger(__name__)

Encode = Callable[[str], list[int]]
Ids = Sequence[int]
"""Token ids of one text."""

FOLLOWED = "a"
"""What follows a prompt to see which of its last tokens stand: a word."""


@dataclass(frozen=True)
class Pair:
    """A prompt and its answer as the model reads them.

    Attributes:
        tokens: All of them; those of lm-eval's `hf`.
        scored: Where the tokens begin whose log-probabilities count.
        end: Tokens of the prompt; the last of them is where steering begins.
        own: Where the tokens begin that a generation from the prompt has to write.
        apart: Whether no token holds a part of both.
    """

    tokens: tuple[int, ...]
    scored: int
    end: int
    own: int
    apart: bool = True

    @property
    def prompt(self) -> list[int]:
        """The prompt's tokens."""
        return list(self.tokens[: self.end])

    @property
    def answer(self) -> list[int]:
        """The tokens after them."""
        return list(self.tokens[self.end :])

    @property
    def empty(self) -> bool:
        """Whether the answer has no token of its own."""
        return self.own >= len(self.tokens)


def encoder(tokenizer: Any, *, bos: bool = False) -> Encode:
    """How a tokenizer encodes prompts, as lm-eval's `hf` model does.

    Args:
        tokenizer: The model's tokenizer.
        bos: Put the BOS token first where the tokenizer has one and does not add it itself
            (the function-vector paper does; lm-eval does not).
    """
    opening = tokenizer.bos_token

    def encode(text: str) -> list[int]:
        begun = bool(opening) and text.startswith(opening)
        ids: list[int] = (
            tokenizer.encode(text, add_special_tokens=False) if begun else tokenizer.encode(text)
        )
        if bos and opening and ids[:1] != [tokenizer.bos_token_id]:
            ids = [tokenizer.bos_token_id, *ids]
        return ids

    return encode


def prompt_tokens(encode: Encode, text: str) -> list[int]:
    """The tokens of a prompt up to the last one that stands whatever follows."""
    ids = encode(text)
    if not text[-1:].isspace():
        return ids
    return ids[: max(1, common(ids, encode(text + FOLLOWED)))]


def encode_pair(encode: Encode, prompt: str, answer: str) -> Pair:
    """Tokenise a prompt and its answer as one text, and say where each begins.

    Args:
        encode: Text -> token ids.
        prompt: As it is asked, white space at its end included.
        answer: As it follows the prompt.
    """
    asked, whole = encode(prompt), encode(prompt + answer)
    bare = encode(prompt.rstrip()) if prompt[-1:].isspace() else asked
    apart = whole[: len(bare)] == bare
    scored, tokens = len(bare), [*bare, *whole[len(bare) :]]
    if len(whole) <= len(bare) and not apart:  # lm-eval has no token left to score
        scored, tokens = common(bare, whole), whole
    end = max(scored, common(prompt_tokens(encode, prompt), tokens))
    given = tokens[: len(asked)] == asked
    return Pair(tuple(tokens), scored, end, max(end, len(asked)) if given else end, apart)


def prompt_ids(tokenizer: Any, texts: Sequence[str], *, bos: bool = False) -> list[list[int]]:
    """Tokenise prompts: each ends with the last token that stands whatever follows.

    Args:
        tokenizer: The model's tokenizer.
        texts: n prompts.
        bos: As in `encoder`.

    Returns:
        n lists of token ids.
    """
    encode = encoder(tokenizer, bos=bos)
    return [prompt_tokens(encode, text) for text in texts]


def context_of(model: Any) -> int | None:
    """How many tokens a model was made for; None where it does not say."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else None


def require_room(model: Any, sequences: Sequence[Sequence[int]]) -> None:
    """Refuse token sequences for which a model has no positions; say where it only knows others.

    Raises:
        BadExamples: one is longer than the positions that were learned.
    """
    most, longest = context_of(model), max(map(len, sequences), default=0)
    if most is None or longest <= most:
        return
    said = f"a prompt with its answer has {longest} tokens and the model's context {most}"
    if _learned_positions(model, most):
        raise BadExamples(f"{said}; give fewer shots or shorter examples")
    _warn(said)


def _learned_positions(model: Any, most: int) -> bool:
    """Whether a table other than the vocabulary's has a row per position (OPT: two more)."""
    words = model.get_input_embeddings()
    tables = (each for each in model.modules() if isinstance(each, Embedding) and each is not words)
    return any(most <= table.num_embeddings <= most + 2 for table in tables)


@cache
def _warn(said: str) -> None:
    """Once per text: batches of one fit say the same."""
    logger.warning("%s: beyond it, activations are what the model never learned", said)


def answer_ids(
    tokenizer: Any, prompts: Sequence[str], answers: Sequence[str], *, bos: bool = False
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of n prompts and of the answers that follow them."""
    encode = encoder(tokenizer, bos=bos)
    pairs = [encode_pair(encode, p, a) for p, a in zip(prompts, answers, strict=True)]
    return [pair.prompt for pair in pairs], [pair.answer for pair in pairs]


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))
