"""Splits: shares, no repetition, and no word on two sides."""

from collections import Counter, deque

import pytest

import task_defs
from task_defs.precision import utils


def reached(start: str, pairs: list[tuple[str, str]]) -> set[str]:
    """Walk all pairs from a word, answers of more than eight inputs left out."""
    uses = Counter(y.casefold() for _, y in pairs)
    edges = [(x.casefold(), y.casefold()) for x, y in pairs if uses[y.casefold()] <= 8]
    near: dict[str, set[str]] = {}
    for x, y in edges:
        near.setdefault(x, set()).add(y)
        near.setdefault(y, set()).add(x)
    seen, queue = {start}, deque([start])
    while queue:
        for word in near.get(queue.popleft(), ()):
            if word not in seen:
                seen.add(word)
                queue.append(word)
    return seen


@pytest.mark.parametrize("name", utils.RELATIONS)
def test_no_word_straddles(name: str) -> None:
    pairs = utils.RELATIONS[name]()
    parts = utils.split(pairs)
    kept = [pair for part in parts.values() for pair in part]
    assert Counter(x for x, _ in kept) == Counter({x: 1 for x, _ in pairs})
    inputs = {split: {x.casefold() for x, _ in part} for split, part in parts.items()}
    for split in ("validation", "test"):
        others = set().union(*(words for other, words in inputs.items() if other != split))
        for word in inputs[split]:
            assert not reached(word, kept) & others


@pytest.mark.parametrize("name", utils.RELATIONS)
def test_shares(name: str) -> None:
    parts = utils.split(utils.RELATIONS[name]())
    total = sum(map(len, parts.values()))
    assert len(parts["test"]) == min(60, round(0.21 * total)) >= 25
    assert len(parts["validation"]) == min(30, round(0.09 * total)) >= 12


def test_mirror_pairs_and_shared_answers_stay_together() -> None:
    pairs = [(f"a{i}", f"b{i}") for i in range(20)]
    pairs += [(y, x) for x, y in pairs] + [(f"c{i}", f"b{i}") for i in range(20)]
    for part in utils.split(pairs).values():
        assert {word[1:] for x, y in part for word in (x, y)}.isdisjoint(
            word[1:] for x, y in pairs if (x, y) not in part for word in (x, y)
        )


def test_duplicates_are_removed_and_order_does_not_matter() -> None:
    pairs = [(f"x{i}", f"y{i}") for i in range(50)]
    assert utils.split([*pairs, *pairs]) == utils.split(pairs[::-1])
    once = utils.split([*pairs, ("x0", "other")])
    assert ("x0", "y0") in [pair for part in once.values() for pair in part]


def test_examples_are_the_split() -> None:
    parts = utils.split(utils.RELATIONS["antonym"]())
    for split, part in parts.items():
        assert task_defs.examples("antonym", split).pairs == tuple(part)
