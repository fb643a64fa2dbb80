"""Examples that word what the published code's inputs say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Pair = tuple[str, str]


def never(*_: Any) -> str:
    raise AssertionError("the method's reference settings do not ask for this")


@dataclass
class Script:
    """Pairs or contrasts, and how each kind of text is worded."""

    pairs: Sequence[Pair] = field(default=(("a", "b"),) * 30)
    contrasts: Sequence[tuple[str, Sequence[str], Sequence[str]]] = ()
    word_demonstration: Callable[[str, str], str] = never
    word_prompt: Callable[[Sequence[Pair], str], str] = never
    word_target: Callable[[str], str] = never
    name: str = "script"
    shots: int = 10
    instruction: str = ""

    def prompt(self, demonstrations: Sequence[Pair], query: str) -> str:
        return self.word_prompt(demonstrations, query)

    def target(self, y: str) -> str:
        return self.word_target(y)

    def demonstration(self, x: str, y: str) -> str:
        return self.word_demonstration(x, y)

    def fingerprint(self) -> str:
        return "script"


def in_turn(texts: Sequence[str]) -> Callable[[Sequence[Pair], str], str]:
    """Prompts in the order in which a fit asks for them, whatever it draws."""
    left: Iterator[str] = iter(texts)
    return lambda _shown, _query: next(left)


def graded(questions: Sequence[dict[str, Any]]) -> list[tuple[str, list[str], list[str]]]:
    """Questions with labelled choices as contrasts."""
    return [
        (
            q["question"],
            [c for c, label in zip(q["choices"], q["labels"], strict=True) if label],
            [c for c, label in zip(q["choices"], q["labels"], strict=True) if not label],
        )
        for q in questions
    ]
