"""Documents, splits and metrics of the precision suite; loaded by lm-eval through `!function`.

The module reads the lexicon beside it and imports nothing of the package, so that the suite runs
under a plain lm-eval that knows only this folder.

`acc` credits a greedy match of every token of the answer and does not ask that the answer ends
there: the papers score alike, and the token that would end an answer depends on the tokenizer and
on the chat template, so that asking for it would measure the format.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import DatasetDict

Pair = tuple[str, str]
SPLITS = ("train", "validation", "test")
LEXICON = Path(__file__).resolve().parent.parent / "lexicon"

TEST_SHARE, VALIDATION_SHARE = 0.21, 0.09
"""Two nested 0.3 splits, as in the function vector paper."""

LABEL_INPUTS = 8
"""An answer that more inputs share is a class label (Africa, animal), not a word of its own."""


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of one lexicon table, for example `adjectives`."""
    with (LEXICON / f"{name}.csv").open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


def columns(name: str, source: str, target: str) -> list[Pair]:
    """Return two columns of one table as pairs."""
    return [(row[source], row[target]) for row in table(name)]


def words(*, countries: bool) -> list[str]:
    """Return the single words of the lexicon, adjectives first."""
    found = [row["word"] for row in table("adjectives")]
    found += [row["base"] for row in table("verbs")]
    found += [row["singular"] for row in table("nouns")]
    if countries:
        found += [row["country"] for row in table("countries") if " " not in row["country"]]
    return found


def spelled(rule: Callable[[str], str], *, countries: bool = True) -> list[Pair]:
    """Return each word with what a rule of spelling makes of it."""
    return [(word, rule(word)) for word in words(countries=countries)]


def french() -> list[Pair]:
    """Return English words with their French ones (ASCII: accents are left out throughout)."""
    return [
        *columns("adjectives", "word", "french"),
        *columns("verbs", "base", "french"),
        *columns("nouns", "singular", "french"),
    ]


RELATIONS: Mapping[str, Callable[[], list[Pair]]] = {
    "adjective-comparative": lambda: columns("adjectives", "word", "comparative"),
    "adjective-superlative": lambda: columns("adjectives", "word", "superlative"),
    "antonym": lambda: columns("adjectives", "word", "antonym"),
    "capitalize": lambda: spelled(str.capitalize, countries=False),
    "country-capital": lambda: columns("countries", "country", "capital"),
    "country-continent": lambda: columns("countries", "country", "continent"),
    "country-currency": lambda: columns("countries", "country", "currency"),
    "country-demonym": lambda: columns("countries", "country", "demonym"),
    "country-language": lambda: columns("countries", "country", "language"),
    "english-french": french,
    "first-letter": lambda: spelled(lambda word: word[0]),
    "last-letter": lambda: spelled(lambda word: word[-1]),
    "noun-category": lambda: columns("nouns", "singular", "category"),
    "present-gerund": lambda: columns("verbs", "base", "gerund"),
    "present-past": lambda: columns("verbs", "base", "past"),
    "present-third-person": lambda: columns("verbs", "base", "third_person"),
    "singular-plural": lambda: columns("nouns", "singular", "plural"),
    "uppercase": lambda: spelled(str.upper),
}


def components(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Group pairs that share a word on either side, letter case aside; labels join nothing."""
    uses = Counter(target.casefold() for _, target in pairs)
    parent: dict[str, str] = {}

    def find(word: str) -> str:
        parent.setdefault(word, word)
        while parent[word] != word:
            parent[word] = parent[parent[word]]
            word = parent[word]
        return word

    for source, target in pairs:
        root = find(source.casefold())
        if uses[target.casefold()] <= LABEL_INPUTS:
            parent[root] = find(target.casefold())
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(find(pair[0].casefold()), []).append(pair)
    return list(groups.values())


def shuffled(items: Iterable[Any]) -> list[Any]:
    """Return the items in an order that depends on their text alone."""
    return sorted(items, key=lambda item: hashlib.sha256(repr(item).encode()).digest())


def _filled(groups: Iterable[list[Pair]], room: Mapping[str, int]) -> dict[str, list[Pair]]:
    """Put each group into the first split that has room for the whole of it."""
    left = dict(room)
    parts: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for group in groups:
        name = next(name for name in left if len(group) <= left[name])
        left[name] -= len(group)
        parts[name] += group
    return parts


def split(pairs: Iterable[Pair], largest: int = 60, *, apart: bool = True) -> dict[str, list[Pair]]:
    """Split pairs 70/9/21 % into train, validation and test, by connected component of words.

    Of several answers to one input the first is kept.

    Args:
        pairs: Inputs with their answers.
        largest: The most pairs for test (half of it for validation); the rest goes to train.
        apart: Keep pairs that share a word in one split.
    """
    unique: dict[str, str] = {}
    for source, target in pairs:
        unique.setdefault(source, target)
    kept = list(unique.items())
    room = {
        "test": min(largest, max(1, round(TEST_SHARE * len(kept)))),
        "validation": min(largest // 2, max(1, round(VALIDATION_SHARE * len(kept)))),
        "train": len(kept),
    }
    groups = shuffled(components(kept) if apart else [[pair] for pair in kept])
    parts = _filled(groups, room)
    if len(groups) >= len(SPLITS) and not all(parts.values()):
        # Few large groups leave no room where there is one: the two smallest fill the small splits.
        small = sorted(range(len(groups)), key=lambda place: len(groups[place]))[:2]
        rest = [group for place, group in enumerate(groups) if place not in small]
        parts = _filled([], room)
        parts["validation"], parts["test"] = (list(groups[place]) for place in small)
        for name in parts:
            room[name] -= len(parts[name])
        for name, more in _filled(rest, room).items():
            parts[name] += more
    return {name: shuffled(part) for name, part in parts.items()}


def documents(pairs: Iterable[Pair], largest: int = 60, *, apart: bool = True) -> "DatasetDict":
    """Return split pairs as lm-eval's documents, with the fields `input` and `output`."""
    from datasets import Dataset, DatasetDict  # half a second, and most callers need no documents

    return DatasetDict(
        {
            name: Dataset.from_dict({"input": [x for x, _ in part], "output": [y for _, y in part]})
            for name, part in split(pairs, largest, apart=apart).items()
        }
    )


def load(*, lexicon: str, largest: int = 60, apart: bool = True, **_: object) -> "DatasetDict":
    """Return the splits of one relation; lm-eval passes its metadata and model arguments too.

    Args:
        lexicon: The relation.
        largest: The most pairs of the test split.
        apart: Keep pairs that share a word in one split.
    """
    return documents(RELATIONS[lexicon](), largest, apart=apart)


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its one answer's (log-probability, is greedy).

    Returns:
        `acc`: 1 if the greedy continuation is the whole answer, else 0.
        `target_logprob`: natural log-probability of the answer, summed over its tokens.
    """
    log_probability, greedy = results[0]
    return {"acc": float(greedy), "target_logprob": float(log_probability)}
