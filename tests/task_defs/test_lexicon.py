"""The tables: complete, ASCII, without repetition, and right where it can be checked by hand."""

import pytest

from task_defs.precision import utils

LEAST = {"adjectives": 160, "verbs": 210, "nouns": 260, "countries": 150}

FACTS = {
    "antonym": {"hot": "cold", "cold": "hot", "happy": "sad", "empty": "full", "rich": "poor"},
    "adjective-comparative": {"good": "better", "hot": "hotter", "dry": "drier"},
    "adjective-superlative": {"bad": "worst", "happy": "happiest", "careful": "most careful"},
    "capitalize": {"hot": "Hot", "dog": "Dog", "eat": "Eat"},
    "country-capital": {
        "Australia": "Canberra",
        "Canada": "Ottawa",
        "Turkey": "Ankara",
        "Myanmar": "Naypyidaw",
        "Kazakhstan": "Astana",
    },
    "country-continent": {"Egypt": "Africa", "Chile": "South America", "Nepal": "Asia"},
    "country-currency": {"Japan": "yen", "Poland": "zloty", "Croatia": "euro"},
    "country-demonym": {"Netherlands": "Dutch", "Denmark": "Danish", "Peru": "Peruvian"},
    "country-language": {"Brazil": "Portuguese", "Austria": "German", "Iran": "Persian"},
    "english-french": {"hot": "chaud", "dog": "chien", "eat": "manger", "house": "maison"},
    "first-letter": {"hot": "h", "France": "F"},
    "last-letter": {"hot": "t", "France": "e"},
    "noun-category": {"dog": "animal", "hammer": "tool", "oak": "plant", "violin": "instrument"},
    "present-gerund": {"lie": "lying", "run": "running", "see": "seeing", "make": "making"},
    "present-past": {"go": "went", "teach": "taught", "carry": "carried", "stop": "stopped"},
    "present-third-person": {"have": "has", "try": "tries", "watch": "watches", "play": "plays"},
    "singular-plural": {"mouse": "mice", "ox": "oxen", "leaf": "leaves"},
    "uppercase": {"hot": "HOT", "France": "FRANCE"},
}


@pytest.mark.parametrize("name", LEAST)
def test_tables_are_complete(name: str) -> None:
    rows = utils.table(name)
    assert len(rows) >= LEAST[name]
    cells = [cell for row in rows for cell in row.values()]
    assert all(cell and cell.isascii() and cell == cell.strip() for cell in cells)
    first = [next(iter(row.values())) for row in rows]
    assert len(set(first)) == len(first)


def test_every_relation_has_facts_checked_by_hand() -> None:
    assert set(FACTS) == set(utils.RELATIONS)


@pytest.mark.parametrize("name", FACTS)
def test_facts(name: str) -> None:
    pairs = dict(utils.RELATIONS[name]())
    assert len(pairs) >= 120
    assert {x: pairs.get(x) for x in FACTS[name]} == FACTS[name]


def test_inputs_are_shared_between_relations() -> None:
    uses = {
        word: [name for name, pairs in utils.RELATIONS.items() if word in dict(pairs())]
        for word in ("hot", "dog", "eat", "France")
    }
    assert {word: len(names) for word, names in uses.items()} == {
        "hot": 8,
        "dog": 7,
        "eat": 8,
        "France": 8,
    }
