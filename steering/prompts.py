"""Few-shot prompts for fitting, drawn from the examples by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from steering.errors import BadExamples
from steering.method import Examples

Pair = tuple[str, str]


def _draws(
    examples: Examples, number: int, shots: int | None, rng: random.Random
) -> list[tuple[list[Pair], Pair]]:
    """Demonstrations and a query that is none of them, again and again."""
    n = examples.shots if shots is None else shots
    if len(examples.pairs) <= n:
        raise BadExamples(
            f"{examples.name}: {len(examples.pairs)} pairs, expected more than {n} for prompts of "
            f"{n} shots; give more pairs or lower shots"
        )
    drawn = (rng.sample(list(examples.pairs), n + 1) for _ in range(number))
    return [(pairs[:n], pairs[n]) for pairs in drawn]


def correct_prompts(
    examples: Examples, number: int, shots: int | None = None, seed: int = 0
) -> list[str]:
    """Prompts whose demonstrations carry their own labels."""
    drawn = _draws(examples, number, shots, random.Random(f"correct {seed}"))
    return [examples.prompt(shown, x) for shown, (x, _) in drawn]


def shuffled_prompts(
    examples: Examples, number: int, shots: int | None = None, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Prompts whose labels are permuted among the demonstrations, and the right answers."""
    rng = random.Random(f"shuffled {seed}")
    prompts, answers = [], []
    for shown, (x, y) in _draws(examples, number, shots, rng):
        labels = [label for _, label in shown]
        rng.shuffle(labels)
        prompts.append(examples.prompt(relabelled(shown, labels), x))
        answers.append(examples.target(y))
    return prompts, answers


def relabelled(pairs: Sequence[Pair], labels: Sequence[str]) -> list[Pair]:
    """The same inputs with other labels."""
    return [(x, label) for (x, _), label in zip(pairs, labels, strict=True)]
