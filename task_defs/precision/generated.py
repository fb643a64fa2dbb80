"""Precision where answers are generated instead of scored, as arXiv:2411.07213 measures it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from task_defs.behavior_shift.utils import measures

METRICS = [
    {"metric": name, "aggregation": "mean", "higher_is_better": True}
    for name in ("first_word", "f1", "entropy", "dist_1", "dist_2")
]
"""A task's metric_list."""

ARTICLES, LINE = re.compile(r"\b(?:a|an|the)\b"), re.compile(r"[\w. ]+")


def normal(text: str, *, case: bool = False) -> list[str]:
    """Return a text's words without punctuation and articles.

    Args:
        text: The text.
        case: Keep capital letters, where the task is to write them.
    """
    kept = text if case else text.lower()
    bare = "".join(sign for sign in kept if sign.isalnum() or sign.isspace() or sign == "_")
    return ARTICLES.sub(" ", bare).split()


def answer(output: str) -> str:
    """Return what counts as the answer: the first run of letters, digits, full stops and blanks."""
    found = LINE.search(output)
    return found.group() if found else ""


def f1(words: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall over words."""
    shared = (Counter(words) & Counter(wanted)).total()
    return 2 * shared / (len(words) + len(wanted)) if shared else 0.0


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its one generated output.

    Returns:
        `first_word`: 1 if the answer's first word is the right one's; `f1` over their words;
        `entropy`, `dist_1`, `dist_2` of all that was written.
    """
    output = str(results[0])
    case = str(doc["output"]).lower() == str(doc["input"]).lower()  # only the letters' case differs
    words = normal(answer(output), case=case)
    every = [normal(str(each), case=case) for each in doc.get("references") or [doc["output"]]]
    return {
        "first_word": float(any(words[:1] == wanted[:1] for wanted in every)),
        "f1": max(f1(words, wanted) for wanted in every),
        "entropy": measures.entropy(output),
        "dist_1": measures.dist(output, 1),
        "dist_2": measures.dist(output, 2),
    }
