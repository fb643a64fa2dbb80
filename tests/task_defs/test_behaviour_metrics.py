"""Metrics of the behaviour suite against hand calculations."""

import math

import pytest

import task_defs
from task_defs.behavior_shift import utils

measures = utils.measures


def test_diversity_by_hand() -> None:
    # words a b a b c; bigrams ab ba ab bc; trigrams aba bab abc
    text = "A b, a b c!"
    assert measures.dist(text, 1) == pytest.approx(3 / 5)
    assert measures.dist(text, 2) == pytest.approx(3 / 4)
    bigrams = 0.5 * 1 + 2 * 0.25 * 2
    assert measures.entropy(text) == pytest.approx((2 / 3 * bigrams + 4 / 3 * math.log2(3)) / 2)
    assert measures.entropy("") == measures.entropy("one") == measures.dist("", 1) == 0.0


def chrf(text: str, reference: str) -> float:
    """Character n-grams up to 6 without white space, beta 2, orders missing on a side left out."""
    precisions, recalls = [], []
    for n in range(1, 7):
        grams = []
        for side in (text, reference):
            letters = "".join(side.split())
            grams.append([letters[i : i + n] for i in range(len(letters) - n + 1)])
        common = sum(min(grams[0].count(g), grams[1].count(g)) for g in set(grams[0]))
        if grams[0] and grams[1]:
            precisions.append(common / len(grams[0]))
            recalls.append(common / len(grams[1]))
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 0.0 if p + r == 0 else 5 * p * r / (4 * p + r)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("The soup was wonderful.", "The soup was wonderful."),
        ("The soup was good.", "The soup was wonderful."),
        ("Nothing alike", "The soup was wonderful."),
    ],
)
def test_content_is_chrf(text: str, reference: str) -> None:
    assert measures.content(text, reference) == pytest.approx(chrf(text, reference), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", "empty"),
        (" ... !", "empty"),
        ("move, you FOOL", "copy"),
        ("Please please please move.", "repetition"),
        ("I like it. I like it. I like it.", "repetition"),
        ("aaaaaaaa", "repetition"),
        ("Please move.", ""),
        ("It was very, very good, and the soup was very good too.", ""),
    ],
)
def test_degenerate_outputs(text: str, flags: str) -> None:
    found = utils.degenerate(text, "Move, you fool!")
    assert [name for name, value in found.items() if value] == flags.split()


def test_process_results() -> None:
    doc = {"input": "Move, you fool!", "output": "Please move.", "task": "detoxification"}
    good = utils.process_results(doc, [" Please move."])
    assert (good["exact"], good["content"], good["copy"]) == (1.0, pytest.approx(1.0), 0.0)
    same = utils.process_results(doc, ["Move, you fool!"])
    assert (same["exact"], same["copy"], same["content_source"]) == (0.0, 1.0, pytest.approx(1.0))
    assert good["content_source"] == pytest.approx(chrf("Please move.", "Move, you fool!"))
    assert good["attribute"] > 0.8 > 0.2 > same["attribute"]
    nothing = utils.process_results(doc, [""])
    assert (nothing["attribute"], nothing["content"], nothing["empty"]) == (0.0, 0.0, 1.0)


def test_the_files_are_imported_once_however_they_are_reached() -> None:
    again = task_defs.catalog.function("utils.attribute", utils.DATA.parent)
    assert again.__globals__ is not vars(utils)
    assert again.__globals__["texts"] is utils.texts
    assert again.__globals__["judges"] is utils.judges
