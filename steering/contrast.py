"""Desired texts against undesired ones: what contrastive methods are fitted on.

Where examples carry wrong answers (`contrasts`), each right answer to a question stands against a
wrong one. Otherwise there are two ways to make a contrast of pairs (x, y):

    pairs      y, the desired text, against x, the undesired one, each alone
    off_task   x answered by y against x answered by another pair's y
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from steering.activations import Span, token_states
from steering.directions import by_majority, first_component
from steering.errors import BadExamples
from steering.method import Contrast, Examples, SteeringMethod
from steering.sites import resolve
from steering.space import Choice, Integer, SearchSpace, Shape, at_depth
from steering.tokens import prompt_ids

Kind = Literal["pairs", "off_task"]
Read = Literal["last", "letter", "answer", "whole", "after_first"]
"""Which tokens of a text are read: its last one; the letter of `(A)`, else the last one; the mean
over its answer; over all; over all but the first."""


class Text(NamedTuple):
    """A text and the part of it that comes before the answer."""

    whole: str
    question: str


class Sides(NamedTuple):
    """Desired and undesired texts of one question."""

    desired: tuple[Text, ...]
    undesired: tuple[Text, ...]


def answered(examples: Examples, x: str, y: str) -> Text:
    """An answered question as it stands in a prompt, without the delimiter after it."""
    whole = examples.demonstration(x, y).rstrip()
    return Text(whole, whole.removesuffix(examples.target(y).rstrip()))


def draw(examples: Examples, kind: Kind, number: int | None, seed: int) -> list[Sides]:
    """Contrasts of examples.

    Args:
        examples: What is fitted on; those of `shuffled_fit` mix the sides of each question.
        kind: How pairs become contrasts where there are no wrong answers.
        number: Questions drawn by seed; None takes all, in their order.
        seed: Seed of the draw.
    """
    every = questions(examples)
    if number is not None and number < len(every):
        every = random.Random(f"contrast {seed}").sample(every, number)
    return contrasted(examples, every, kind)


def questions(examples: Examples) -> list[Any]:
    """What contrasts are made of: questions with wrong answers where there are any, else pairs."""
    given: Sequence[Contrast] = getattr(examples, "contrasts", None) or ()
    return list(given or examples.pairs)


def contrasted(examples: Examples, every: Sequence[Any], kind: Kind) -> list[Sides]:
    """Contrasts of some of the `questions`, in their order.

    Raises:
        BadExamples: too few to make a contrast.
    """
    if getattr(examples, "contrasts", None):
        made = [
            Sides(
                tuple(answered(examples, x, y) for y in right),
                tuple(answered(examples, x, y) for y in wrong),
            )
            for x, right, wrong in every
        ]
    elif kind == "pairs":
        made = [Sides((Text(y, ""),), (Text(x, ""),)) for x, y in every]
    else:
        others = [*every[1:], *every[:1]]
        made = [
            Sides((answered(examples, x, y),), (answered(examples, x, wrong),))
            for (x, y), (_, wrong) in zip(every, others, strict=True)
        ]
    if len(made) < 2:
        raise BadExamples(f"{examples.name}: {len(made)} pair; expected at least 2 for a contrast")
    mixed: int | None = getattr(examples, "labels_seed", None)
    return made if mixed is None else _mixed(made, mixed)


def kept_back(every: Sequence[Sides], number: int, task: str) -> tuple[list[Sides], list[Sides]]:
    """What is fitted on, and the last questions, on which it is tried.

    Raises:
        BadExamples: nothing is left to fit on.
    """
    if len(every) <= number:
        raise BadExamples(
            f"{task}: {len(every)} questions, of which {number} are kept back; give more or lower "
            "validation"
        )
    border = len(every) - number
    return list(every[:border]), list(every[border:])


def followed(examples: Examples, seed: int) -> list[str]:
    """Every answered question that carries wrong answers, with another question behind it.

    Args:
        examples: With `contrasts`.
        seed: Of the questions behind.
    """
    rng = random.Random(f"questions {seed}")
    given: Sequence[Contrast] = examples.contrasts  # type: ignore[attr-defined]
    return [
        examples.prompt(((x, y),), rng.choice(given)[0])
        for x, right, wrong in given
        for y in (*right, *wrong)
    ]


def _mixed(every: Sequence[Sides], seed: int) -> list[Sides]:
    """The same texts under labels that are permuted within each question."""
    rng, made = random.Random(f"labels {seed}"), []
    for right, wrong in every:
        texts = [*right, *wrong]
        rng.shuffle(texts)
        made.append(Sides(tuple(texts[: len(right)]), tuple(texts[len(right) :])))
    return made


def paired(every: Sequence[Sides]) -> tuple[list[Text], list[Text]]:
    """A desired text and an undesired one side by side, as many as each question has of both."""
    both = [pair for right, wrong in every for pair in zip(right, wrong, strict=False)]
    return [right for right, _ in both], [wrong for _, wrong in both]


def pooled(every: Sequence[Sides]) -> tuple[list[Text], list[Text]]:
    """All desired texts and all undesired ones."""
    return [t for right, _ in every for t in right], [t for _, wrong in every for t in wrong]


def spans(tokenizer: Any, texts: Sequence[Text], read: Read) -> tuple[list[list[int]], list[Span]]:
    """Token ids of texts, and the tokens of each that are read."""
    ids = prompt_ids(tokenizer, [text.whole for text in texts])
    found: list[Span] = []
    for text, own in zip(texts, ids, strict=True):
        n = len(own)
        start, stop = n - 1, n
        if read == "letter" and text.whole.endswith(")") and n > 1:
            start, stop = n - 2, n - 1
        elif read == "answer":
            start = min(len(prompt_ids(tokenizer, [text.question])[0]), n - 1)
        elif read in ("whole", "after_first"):
            start = 0 if read == "whole" or n == 1 else 1
        found.append((start, stop))
    return ids, found


def signed_components(model: Any, ids: Sequence[Sequence[int]], read: Sequence[Span]) -> Tensor:
    """What sets the first half of texts apart from the second, by majority of pairs.

    Args:
        model: A Hugging Face decoder; its last block is read after the final norm.
        ids: 2n lists of token ids; the i-th and the (n + i)-th are a pair.
        read: Tokens of each over which the mean is taken.

    Returns:
        Unit directions of largest second moment, one for each block (l, d).
    """
    own, half = [[span] for span in read], len(ids) // 2
    states = token_states(model, ids, own)[:, 0]
    if resolve(model).layers("final_norm"):
        states[:, -1:] = token_states(model, ids, own, site="final_norm")[:, 0]
    found = (states[:half] - states[half:]).unbind(dim=1)
    return torch.stack([by_majority(first_component(d, centred=False), d) for d in found])


@dataclass(frozen=True, kw_only=True)
class ContrastiveMethod(SteeringMethod):
    """A method that is fitted on desired texts against undesired ones.

    Attributes:
        pairs: Questions drawn; None takes all, in their order.
        contrast: How pairs become contrasts where examples carry no wrong answers.
    """

    pairs: int | None = 100
    contrast: Kind = "pairs"

    def sides(self, examples: Examples) -> list[Sides]:
        """The contrasts that the settings ask for."""
        return draw(examples, self.contrast, self.pairs, self.seed)

    def read(
        self, model: Any, tokenizer: Any, texts: Sequence[Text], read: Read, site: str
    ) -> Tensor:
        """What a site holds at the read tokens of texts: (n, l, d)."""
        ids, own = spans(tokenizer, texts, read)
        return token_states(model, ids, [[span] for span in own], site=site)[:, 0]

    def partners(
        self, model: Any, tokenizer: Any, examples: Examples, read: Read, site: str
    ) -> tuple[Tensor, Tensor]:
        """Desired and undesired, pair by pair: (n, l, d) each."""
        right, wrong = paired(self.sides(examples))
        states = self.read(model, tokenizer, [*right, *wrong], read, site)
        return states[: len(right)], states[len(right) :]


def contrastive_space(shape: Shape, depth: float, contrast: Kind = "pairs") -> SearchSpace:
    """The layer and the contrast, the method's own first, which contrastive methods search."""
    default = at_depth(None, shape.n_layers, depth)
    return {
        "layer": Integer(0, shape.n_layers - 1, default),
        "contrast": Choice(tuple(dict.fromkeys((contrast, "pairs", "off_task")))),
    }
