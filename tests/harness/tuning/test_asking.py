"""Asker: defaults first, nothing twice, within the space, repeatable, and better than chance."""

from __future__ import annotations

import math
import random

import pytest

from harness.tuning.asking import Asker, Settings, key_of
from steering import Choice, Integer, Real, SearchSpace

SPACE: SearchSpace = {
    "layer": Integer(0, 21, 10),
    "coefficient": Real(0.05, 5.0, 1.0),
    "unit": Choice(("residual",), "raw"),
    "top_heads": Integer(2, 81, 10, log=True),
    "kind": Choice(("a", ("b", 1), None)),
}


def value(settings: Settings) -> float:
    """One narrow hill, as accuracies over layers and strengths are."""
    off = ((settings["layer"] - 15) / 3) ** 2
    off += (math.log(settings["coefficient"] / 2.0) / 0.4) ** 2
    off += (math.log(settings["top_heads"] / 8) / 1.5) ** 2
    return -off - (settings["kind"] != "a")


def asked(space: SearchSpace, budget: int, batch: int, seed: int = 0) -> list[Settings]:
    asker, found = Asker(space, budget, seed), []
    while more := asker.ask(min(batch, budget - len(found))):
        found += more
        for settings in more:
            asker.tell(settings, value(settings) if space is SPACE else 0.0)
    return found


@pytest.mark.parametrize("batch", [1, 24])
def test_defaults_first_and_nothing_twice(batch: int) -> None:
    found = asked(SPACE, 60, batch)
    assert found[0] == {
        "layer": 10, "coefficient": 1.0, "unit": "raw", "top_heads": 10, "kind": "a",
    }  # fmt: skip
    assert len({key_of(settings) for settings in found}) == len(found) == 60
    for settings in found[1:]:
        assert 0 <= settings["layer"] <= 21
        assert 0.05 <= settings["coefficient"] <= 5.0
        assert float(f"{settings['coefficient']:.3g}") == settings["coefficient"]
        assert 2 <= settings["top_heads"] <= 81
        assert settings["unit"] == "residual"
        assert settings["kind"] in ("a", ("b", 1), None)


def test_the_same_answers_lead_to_the_same_questions() -> None:
    assert asked(SPACE, 50, 10, seed=4) == asked(SPACE, 50, 10, seed=4)
    assert asked(SPACE, 50, 10, seed=4) != asked(SPACE, 50, 10, seed=5)


def test_strengths_are_drawn_by_orders_of_magnitude() -> None:
    drawn = [s["coefficient"] for s in asked({"coefficient": Real(0.001, 1.0, 0.1)}, 80, 80)]
    shares = [sum(low <= c < 10 * low for c in drawn) / 80 for low in (0.001, 0.01, 0.1)]
    assert min(shares) > 0.2


def test_it_climbs() -> None:
    """Against as many random draws, by the mean over seeds of the best value."""

    def by_chance(seed: int) -> float:
        rng = random.Random(seed)
        return max(
            value(
                {
                    "layer": rng.randint(0, 21),
                    "coefficient": math.exp(rng.uniform(math.log(0.05), math.log(5))),
                    "top_heads": round(math.exp(rng.uniform(math.log(2), math.log(81)))),
                    "kind": rng.choice("abc"),
                }
            )
            for _ in range(120)
        )

    best = [max(map(value, asked(SPACE, 120, 24, seed))) for seed in range(3)]
    assert sum(best) / 3 > sum(map(by_chance, range(20))) / 20 / 2  # half as far from the top
    assert sum(best) / 3 > -0.2


@pytest.mark.parametrize("budget", [5, 6, 100])
def test_a_small_space_is_tried_whole(budget: int) -> None:
    space = {"kind": Choice(("a", "b")), "layer": Integer(0, 2, 1)}
    found = asked(space, budget, 4)
    assert found[0] == {"kind": "a", "layer": 1}
    assert len({key_of(settings) for settings in found}) == len(found) == min(budget, 6)


def test_a_default_outside_of_a_small_space_is_one_more() -> None:
    found = asked({"unit": Choice(("residual",), "raw"), "layer": Integer(0, 1, 0)}, 9, 2)
    assert [tuple(settings.values()) for settings in found[:1]] == [("raw", 0)]
    assert {tuple(s.values()) for s in found[1:]} == {("residual", 0), ("residual", 1)}


def test_nothing_to_search_is_the_default_alone() -> None:
    assert asked({}, 10, 4) == [{}]
