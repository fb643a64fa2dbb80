"""Read a behaviour task's pairs and split them so that no text is in two splits."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from task_defs.files import Unreadable
    from task_defs.rows import Row, fields_of, read_rows
else:  # the folder above, by the package name that `utils` makes
    from .files import Unreadable
    from .rows import fields_of, read_rows

Pair = tuple[str, str]
Labelled = tuple[str, int]
"""A text, and 1 if it has the wanted style, else 0."""
SPLITS = ("train", "validation", "test")
DATA = Path(__file__).resolve().parent / "data"

TEST_SHARE, VALIDATION_SHARE = 0.21, 0.09
"""Two nested 0.3 splits, as in the function vector paper."""

WORD = re.compile(r"\w+(?:['’]\w+)*")


class BadBehaviour(ValueError):
    """Pairs or a classifier that a behaviour task cannot be measured by."""


def words(text: str) -> list[str]:
    """Return a text's words, letter case and punctuation aside."""
    return WORD.findall(text.casefold())


def read(file: str) -> list[Pair]:
    """Read texts with their rewrites; of several rewrites of one the first.

    Args:
        file: The name of a built-in file without its ending, or the path of one's own file, of any
            kind that `rows` reads: JSON of {"input", "output"}, a table, `FILE:INPUT,OUTPUT`.

    Raises:
        BadBehaviour: If the file is missing or malformed; the message names the line.
    """
    return [(row.input, row.outputs[0]) for row in rows(file)]


def rows(file: str) -> Sequence["Row"]:
    """Read texts with all their rewrites; what has no word is no text.

    Raises:
        BadBehaviour: If the file is missing or malformed.
    """
    own = DATA / f"{file}.jsonl"
    path, fields = (own, None) if re.fullmatch(r"\w+", file) else fields_of(file)
    try:
        return read_rows(path, fields, words)
    except Unreadable as error:
        raise BadBehaviour(f"{path}: {error}") from error


def references(file: str) -> dict[str, list[str]]:
    """Return every rewrite of each input; nothing where each has one."""
    found = {row.input: list(row.outputs) for row in reversed(rows(file))}
    return found if any(len(each) > 1 for each in found.values()) else {}


def text(item: Any, key: str) -> str:
    """Return a text of a JSON object; empty for what is none, or has no UTF-8."""
    value = item.get(key) if isinstance(item, dict) else None
    sound = isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
    return str(value).strip() if sound else ""


def components(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Group pairs that share a text on either side, letter case and punctuation aside."""
    parent: dict[str, str] = {}

    def find(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    keys = [(" ".join(words(x)), " ".join(words(y))) for x, y in pairs]
    for x, y in keys:
        parent[find(x)] = find(y)
    groups: dict[str, list[Pair]] = {}
    for pair, (x, _) in zip(pairs, keys, strict=True):
        groups.setdefault(find(x), []).append(pair)
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


def split(pairs: Iterable[Pair], largest: int = 60) -> dict[str, list[Pair]]:
    """Split pairs 70/9/21 % into train, validation and test; no text is in two of them.

    Of several rewrites of one input the first is kept, and nothing that is its own rewrite.

    Args:
        pairs: Texts with their rewrites.
        largest: The most pairs for test (half of it for validation); the rest goes to train.
    """
    unique: dict[tuple[str, ...], Pair] = {}
    for x, y in pairs:
        if words(x) != words(y):
            unique.setdefault(tuple(words(x)), (x, y))
    kept = list(unique.values())
    room = {
        "test": min(largest, max(1, round(TEST_SHARE * len(kept)))),
        "validation": min(largest // 2, max(1, round(VALIDATION_SHARE * len(kept)))),
        "train": len(kept),
    }
    groups = shuffled(shuffled(group) for group in components(kept))
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
