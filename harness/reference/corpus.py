"""Training documents of the built-in model, drawn from the tasks' own pairs.

A document holds `Q: x` / `A: y` pairs that all follow one rule, so that only the context tells
which rule is meant. Three things keep the instrument honest (all of them learned from trials):

* every input is asked for under many rules, and repeating it is the commonest one, so that the
  input alone never gives the answer away and a bare question is answered by an echo;
* where the demonstrations' answers belong to other questions, so does the next one: a model that
  reads the rule off the answers alone would not care whether labels are shuffled;
* every sentence has competing continuations, and free text keeps one style over several
  sentences, so that style becomes a direction of the residual stream.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import task_defs

Pair = tuple[str, str]

ANSWER, QUESTION, FREE_TEXT = 1.0, 0.1, 0.5
"""Loss weight per token: the answers are what the model is for."""

ECHO_SHARE = 0.3
INSTRUCTED_SHARE = 0.15
SHUFFLED_SHARE = 0.12
KINDS: dict[str, float] = {"words": 0.50, "sentences": 0.35, "styled": 0.08, "free": 0.07}
REWRITINGS: dict[str, float] = {"copy": 0.45, "rewrite": 0.27, "same_style": 0.18, "reverse": 0.10}
REPEAT_WORD, REPEAT_SENTENCE = "Repeat the word.", "Repeat the sentence."


@dataclass(frozen=True)
class Piece:
    """A stretch of text and the weight of its tokens in the loss."""

    text: str
    weight: float


Document = list[Piece]


@dataclass(frozen=True)
class Source:
    """One task's pairs over all splits, and the sentence that instructs it."""

    pairs: tuple[Pair, ...]
    instruction: str


def sources(suite: str) -> dict[str, Source]:
    """Return every task of a suite with its pairs over all splits.

    The built-in model may know every pair, test split included, as a large model knows its facts:
    what is tested is whether a vector fitted on the train split makes it use them.
    """
    found = {}
    for task in task_defs.suites()[suite]:
        pairs = [
            pair
            for split in ("train", "validation", "test")
            for pair in task_defs.examples(task, split).pairs
        ]
        instruction = task_defs.config(task)["metadata"]["instruction"]
        found[task] = Source(tuple(pairs), instruction)
    return found


def documents(seed: int) -> Iterator[Document]:
    """Yield training documents without end, the same ones for the same seed."""
    rng = random.Random(seed)
    words = list(sources("precision").values())
    sentences = list(sources("behavior_shift").values())
    write: dict[str, Callable[[], Document]] = {
        "words": lambda: _words(rng, rng.choice(words)),
        "sentences": lambda: _sentences(rng, rng.choice(sentences)),
        "styled": lambda: _styled(rng, rng.choice(sentences)),
        "free": lambda: _free(rng, rng.choice(sentences)),
    }
    while True:
        yield write[_choose(rng, KINDS)]()


def _choose(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]


def _words(rng: random.Random, source: Source) -> Document:
    """One to twelve pairs of one precision task, or its inputs echoed, or its answers shuffled."""
    kind = rng.random()
    echo = kind < ECHO_SHARE
    chosen = rng.sample(source.pairs, min(rng.randint(1, 12), len(source.pairs)))
    if kind > 1 - SHUFFLED_SHARE:
        answers = rng.sample(source.pairs, len(chosen))
        return _questions([(x, y) for (x, _), (_, y) in zip(chosen, answers, strict=True)])
    pairs = [(x, x) for x, _ in chosen] if echo else chosen
    return _instructed(rng, pairs, REPEAT_WORD if echo else source.instruction)


def _sentences(rng: random.Random, source: Source) -> Document:
    """One to six pairs of one rewriting rule."""
    rule = _choose(rng, REWRITINGS)
    chosen = rng.sample(source.pairs, rng.randint(1, 6))
    before, after = [x for x, _ in chosen], [y for _, y in chosen]
    if rule == "rewrite":
        return _instructed(rng, chosen, source.instruction)
    if rule == "reverse":
        return _questions(list(zip(after, before, strict=True)))
    # The style-keeping rules meet the undesired style more often: that is what tests ask about.
    kept = before if rng.random() < 0.8 else after
    if rule == "copy":
        return _instructed(rng, list(zip(kept, kept, strict=True)), REPEAT_SENTENCE)
    style = [x for x, _ in source.pairs] if kept is before else [y for _, y in source.pairs]
    return _questions([(x, rng.choice(style)) for x in kept])


def _styled(rng: random.Random, source: Source) -> Document:
    """A paragraph of one style, then questions answered in that style."""
    style, wanted = _styles(rng, source)
    chosen = rng.sample(source.pairs, rng.randint(1, 3))
    asked = [pair[0] if rng.random() < 0.7 else pair[1] for pair in chosen]
    answers = [pair[wanted] for pair in chosen]
    paragraph = Piece(_paragraph(rng, style, 1, 4) + "\n\n", FREE_TEXT)
    return [paragraph, *_questions(list(zip(asked, answers, strict=True)))]


def _free(rng: random.Random, source: Source) -> Document:
    """A paragraph of one style."""
    return [Piece(_paragraph(rng, _styles(rng, source)[0], 2, 6), FREE_TEXT)]


def _styles(rng: random.Random, source: Source) -> tuple[list[str], int]:
    """Return all texts of one style, and which side of a pair it is."""
    side = rng.randint(0, 1)
    return [pair[side] for pair in source.pairs], side


def _paragraph(rng: random.Random, style: Sequence[str], low: int, high: int) -> str:
    return " ".join(rng.sample(style, rng.randint(low, high)))


def _instructed(rng: random.Random, pairs: Sequence[Pair], instruction: str) -> Document:
    """Put the instruction first in some documents, which then need few demonstrations."""
    if rng.random() >= INSTRUCTED_SHARE:
        return _questions(pairs)
    return [Piece(f"{instruction}\n\n", QUESTION), *_questions(pairs[: rng.randint(1, 3)])]


def _questions(pairs: Sequence[Pair]) -> Document:
    """Render pairs as the tasks' template does; an answer ends with its newline."""
    document: Document = []
    for x, y in pairs:
        separator = [Piece("\n", QUESTION)] if document else []
        document += [*separator, Piece(f"Q: {x}\nA:", QUESTION), Piece(f" {y}\n", ANSWER)]
    return document
