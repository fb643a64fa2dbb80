"""Two readings of behaviour, baselines by suite, and what an attribute costs: by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from reports import Record
from reports.claim import answers, readings, verdicts
from reports.comparison import Comparison
from reports.judging import agreement_table, judge_table, judge_warnings
from reports.price import price_table, within
from reports.tables import suite_table
from reports.writer import write
from tests.reports.records import record

SUITE = "behavior_shift"
FLAT = (0.5,) * 8


def behaviour(
    arm: str,
    attribute: Any,
    content: Any,
    *,
    task: str = "formality",
    judges: dict[str, Any] | None = None,
    trials: list[tuple[float | None, float | None]] | None = None,
    unsteered: tuple[float, float] | None = (0.2, 0.5),
    **more: Any,
) -> Record:
    """A behaviour record with fluency 1; trials are validation pairs of attribute and content."""
    tuning = None
    if trials is not None:
        named = ("attribute", "content")
        tuning = {
            "trials": [
                {"settings": {"coefficient": i}, "score": 0.1, "seconds": 0.1, "error": None,
                 "metrics": dict(zip(named, pair, strict=True))}
                for i, pair in enumerate(trials)
            ],
            "chosen": {"coefficient": 0}, "higher_is_better": True, "budget": 24, "documents": 8,
            "metric": "joint", "split": "validation",
            "unsteered": dict(zip(named, unsteered, strict=True)) if unsteered else {},
        }  # fmt: skip
    joint = np.array(attribute) * np.array(content)
    opinions = {f"attribute_by_{name}": values for name, values in (judges or {}).items()}
    return record(
        task, arm, joint, suite=SUITE, metric="joint", tuning=tuning,
        more={"attribute": attribute, "content": content, "fluency": [1] * len(joint), **opinions},
        **more,
    )  # fmt: skip


def texts(table: Any) -> dict[str, dict[str, str]]:
    titles = [column.key for column in table.columns]
    rows = [dict(zip(titles, row, strict=True)) for row in table.texts()]
    return {row[titles[0]]: row for row in rows}


def test_the_baseline_of_a_suite_is_its_frame_where_every_task_has_it() -> None:
    bare, frame = behaviour("zero_shot", FLAT, FLAT), paraphrase(FLAT, FLAT)
    steered = behaviour("icv", [0.9] * 8, FLAT)
    precision = [record("antonym"), record("antonym", "paraphrase"), record("antonym", "fv")]
    found = Comparison([bare, frame, steered, *precision])
    assert (found.baseline(SUITE), found.baseline("precision")) == ("paraphrase", "zero_shot")
    assert "Δ paraphrase ↑" in [column.title for column in suite_table(found, SUITE).columns]
    assert "Δ zero_shot ↑" in [column.title for column in suite_table(found, "precision").columns]
    assert found.difference("icv").value == pytest.approx(0.9 * 0.5 - 0.25)
    assert "over paraphrase" in next(a.gain for a in answers(found) if a.arm == "icv")
    # another task lacks the frame: the bare question is the baseline of both
    more = [behaviour(arm, FLAT, FLAT, task="detoxification") for arm in ("zero_shot", "icv")]
    assert Comparison([bare, frame, steered, *more]).baseline(SUITE) == "zero_shot"


def paraphrase(attribute: Any, content: Any, **more: Any) -> Record:
    found = behaviour("paraphrase", attribute, content, **more)
    found.spec["arm"].update(prompting="paraphrase", method=None)  # type: ignore[attr-defined]
    return found


def test_methods_on_the_frame_come_before_those_on_the_bare_question() -> None:
    on_frame = behaviour("icv@paraphrase", FLAT, FLAT)
    on_frame.spec["arm"]["prompting"] = "paraphrase"
    shots = behaviour("icv@few_shot", FLAT, FLAT)
    shots.spec["arm"]["prompting"] = "few_shot"
    records = [
        behaviour("zero_shot", FLAT, FLAT), paraphrase(FLAT, FLAT), behaviour("fv", FLAT, FLAT),
        behaviour("icv", FLAT, FLAT), on_frame, shots, behaviour("random_vector:icv", FLAT, FLAT),
    ]  # fmt: skip
    assert Comparison(records).steered(SUITE) == {"fv": "fv", "icv": "icv@paraphrase"}
    assert Comparison(records[2:]).steered(SUITE) == {"fv": "fv", "icv": "icv"}


def test_both_readings_of_the_claim() -> None:
    """ICV has the attribute and ruins the content: each reading has a verdict of its own."""
    rng = np.random.default_rng(0)
    precision = [
        record("antonym", arm, (rng.random(80) < rate).astype(float))
        for arm, rate in (("fv", 0.9), ("icv", 0.1))
    ]
    noise = rng.random(80) / 10
    found = Comparison(
        [
            *precision,
            behaviour("fv", 0.6 + noise, 0.8 + noise),
            behaviour("icv", 0.9 + noise[::-1], 0.2 + noise),
        ]
    )
    assert readings(found) == ["joint", "attribute"]
    joint, attribute = verdicts(found)
    assert joint.startswith("Behaviour read by joint (attribute × content × fluency): ")
    assert "does not hold on this model: Behaviour shift" in joint
    assert attribute.startswith("Behaviour read by the attribute alone, as the papers do: ")
    assert "holds on this model" in attribute
    difference = found.difference("icv", "fv", "attribute", tasks=["formality"])
    assert f"ICV − FV on Behaviour shift {difference.value:+.3f}" in attribute


def test_price_by_hand() -> None:
    base = behaviour("zero_shot", [0.2, 0.3] * 4, [0.8, 0.6] * 4)
    icv = behaviour("icv", [0.7, 0.7] * 4, [0.5, 0.5] * 4, trials=TRIED)
    fv = behaviour("fv", [0.2, 0.3] * 4, [0.8, 0.6] * 4, trials=[(0.9, 0.1)])
    control = behaviour("random_vector:icv", [0.1, 0.2] * 4, [0.8, 0.6] * 4, trials=TRIED)
    table = price_table(Comparison([base, icv, fv, control]), SUITE)
    assert table is not None
    found = texts(table)
    assert (found["zero_shot"]["attribute"], found["zero_shot"]["content"]) == ("0.250", "0.700")
    assert {found["zero_shot"][key] for key in ("gain", "price", "within", "reached")} == {"–"}
    # 0.2 of content for 0.45 of attribute
    assert (found["icv"]["gain"], found["icv"]["change"]) == ("+0.450", "−0.200")
    assert found["icv"]["price"] == f"{0.2 / 0.45:.2f}"
    # the bound is 0.45 of content: (0.5, 0.46) keeps it, (0.9, 0.4) does not
    assert (found["icv"]["within"], found["icv"]["reached"]) == ("0.500", "1 of 1")
    # a tie has no price; no configuration keeps the content, so that the unsteered attribute stays
    assert (found["fv"]["gain"], found["fv"]["price"]) == ("+0.000", "–")
    assert (found["fv"]["within"], found["fv"]["reached"]) == ("0.200", "0 of 1")
    # a control's record holds the search of its method, which says nothing of the control
    assert {found["random_vector:icv"][key] for key in ("within", "reached")} == {"–"}
    assert found["random_vector:icv"]["price"] == "–"  # it lost attribute


TRIED: list[tuple[float | None, float | None]] = [(0.9, 0.4), (0.5, 0.46), (0.3, 0.5), (None, None)]


def test_within_is_the_mean_over_searches() -> None:
    records = [
        behaviour("zero_shot", FLAT, FLAT),
        behaviour("icv", FLAT, FLAT, trials=[(0.6, 0.5)], seed=0),
        behaviour("icv", FLAT, FLAT, trials=[(0.8, 0.2)], seed=1),
    ]
    table = price_table(Comparison(records), SUITE)
    assert table is not None
    assert texts(table)["icv"]["within"] == f"{(0.6 + 0.2) / 2:.3f}"
    assert texts(table)["icv"]["reached"] == "1 of 2"
    old = behaviour("icv", FLAT, FLAT, trials=[(0.6, 0.5)], unsteered=None)
    assert within(old) is within(records[0]) is None  # kept neither metric, or never searched
    assert within(records[1], kept=1.01) == (0.2, 0.2)


def test_without_content_there_is_no_price() -> None:
    assert price_table(Comparison([record()]), "precision") is None


def test_missing_values_are_dashes() -> None:
    base = behaviour("zero_shot", FLAT, FLAT)
    broken = behaviour("icv", [math.nan, *FLAT[1:]], FLAT)
    table = price_table(Comparison([base, broken]), SUITE)
    assert table is not None
    row = texts(table)["icv"]
    assert {row[key] for key in ("attribute", "gain", "gain_interval", "price")} == {"–"}
    assert row["content"] == "0.500"


def judged(second: float, n: int = 8) -> Comparison:
    """Icv above zero_shot by 0.3 in the first judge's eyes, by `second` in the other's."""
    base = behaviour("zero_shot", [0.4] * n, FLAT, judges={"lexicon": [0.5] * n})
    icv = behaviour("icv", [0.7] * n, FLAT, judges={"lexicon": [0.5 + second] * n})
    facts = {
        "name": "embedding", "n": 180, "accuracy": 0.95, "brier": 0.04, "calibration_error": 0.03,
        "mean_reference": 0.9, "mean_input": 0.1,
    }  # fmt: skip
    other = {**facts, "name": "lexicon", "accuracy": 0.6}
    other["outside"] = {**facts, "name": "lexicon", "files": ["a.0", "a.1"], "accuracy": 0.8}
    for each in (base, icv):
        each.provenance["classifier"] = {**facts, "others": [other]}  # type: ignore[index]
    return Comparison([base, icv])


@pytest.mark.parametrize(("second", "sign"), [(0.1, "same"), (-0.1, "opposite"), (0.0, "–")])
def test_whether_judges_agree(second: float, sign: str) -> None:
    comparison = judged(second)
    table = agreement_table(comparison, SUITE)
    assert table is not None
    (row,) = texts(table).values()
    assert (row["difference"], row["judge"], row["sign"]) == ("icv − zero_shot", "lexicon", sign)
    assert row["first"] == "+0.300"
    said = [warning for warning in judge_warnings(comparison) if "disagree" in warning]
    assert len(said) == (sign == "opposite")


def test_one_judge_cannot_disagree() -> None:
    found = Comparison([behaviour("zero_shot", FLAT, FLAT), behaviour("icv", FLAT, FLAT)])
    assert agreement_table(found, SUITE) is None
    assert judge_table(found) is None


def test_every_judge_stands_with_its_accuracy(tmp_path: Any) -> None:
    comparison = judged(-0.1)
    table = judge_table(comparison)
    assert table is not None
    assert [(row["name"], row["texts from"], row["accuracy"]) for row in table.rows] == [
        ("embedding", "held out", 0.95), ("lexicon", "held out", 0.6), ("lexicon", "a.0, a.1", 0.8),
    ]  # fmt: skip
    weak = [warning for warning in judge_warnings(comparison) if "worth little" in warning]
    assert weak == [
        "Judge lexicon is right on 60% of formality's held-out texts: what it says of this task is "
        "worth little."
    ]
    page = write(tmp_path, comparison.records).markdown.read_text(encoding="utf-8")
    for title in ("Judges", "Behaviour shift: do the judges agree"):
        assert f"### {title}" in page
    assert "The judges disagree on the sign of icv − zero_shot" in page
