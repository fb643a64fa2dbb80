"""Searches on disk: interrupted ones go on, damaged ones heal, another one is another file."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.measuring.spec import Arm, RunSpec
from harness.tuning.asking import Settings
from harness.tuning.search import Kept, Outcome, Search, search
from harness.tuning.searches import Searches
from reports.files import BadFile
from steering import Choice, Integer, Real, SearchSpace

SPACE: SearchSpace = {"layer": Integer(0, 9, 3), "coefficient": Real(0.1, 10.0, 1.0)}
SPEC = RunSpec(
    model="hf", model_args={}, model_hash="m", task="antonym", suite="precision", task_hash="t",
    arm=Arm("fv", method="fv"), seed=0, shots=0, budget=12,
)  # fmt: skip


class Measuring:
    """Counts what is measured; stops, as a kill does, after some."""

    def __init__(self, stop: int | None = None, broken: str | None = None) -> None:
        self.stop, self.broken, self.asked = stop, broken, list[Settings]()

    def __call__(self, every: list[Settings]) -> Iterator[Outcome]:
        for settings in every:
            if len(self.asked) == self.stop:
                raise KeyboardInterrupt
            self.asked.append(settings)
            off = abs(settings["layer"] - 7) / 10
            scores = () if self.broken else (1 - off, 0.5)
            yield Outcome(settings, scores, 0.25, self.broken, {}, -off)

    def search(self, kept: Kept | None = None) -> Search:
        return search(SPACE, self, metric="acc", budget=12, kept=kept)


def recall(folder: Path, measuring: Measuring, spec: RunSpec = SPEC) -> Search:
    return Searches(folder).recall(spec, SPACE, measuring.search)


def test_a_finished_search_is_read_back(tmp_path: Path) -> None:
    first, again = Measuring(), Measuring()
    found = recall(tmp_path, first)
    assert recall(tmp_path, again) == found
    assert (len(first.asked), len(again.asked)) == (12, 0)


@pytest.mark.parametrize("stop", [1, 7, 11])
def test_a_killed_search_goes_on_where_it_stopped(tmp_path: Path, stop: int) -> None:
    undisturbed = recall(tmp_path / "whole", Measuring())
    killed, again = Measuring(stop), Measuring()
    with pytest.raises(KeyboardInterrupt):
        recall(tmp_path, killed)
    assert recall(tmp_path, again) == undisturbed
    assert killed.asked + again.asked == [trial.settings for trial in undisturbed.trials]


@pytest.mark.parametrize("damage", ["torn", "flipped", "null", "not JSON", "deep"])
def test_damaged_trials_are_measured_again(tmp_path: Path, damage: str) -> None:
    undisturbed = recall(tmp_path / "whole", Measuring())
    with pytest.raises(KeyboardInterrupt):
        recall(tmp_path, Measuring(stop=8))
    (file,) = tmp_path.glob("*.trials.jsonl")
    lines = file.read_text().split("\n")
    lines[-1] = {
        "torn": lines[-1][:-20],
        "flipped": lines[-1].replace('"score": ', '"score": 1'),
        "null": "null",
        "not JSON": "\x00\x00",
        "deep": "[" * 5000,
    }[damage]
    file.write_text("\n".join(lines))
    again = Measuring()
    assert recall(tmp_path, again) == undisturbed
    assert len(again.asked) == 5


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "old"])
def test_a_damaged_search_is_made_of_the_trials_that_are_whole(tmp_path: Path, damage: str) -> None:
    found = recall(tmp_path, Measuring())
    (file,) = (path for path in tmp_path.iterdir() if path.suffix == ".json")
    text = file.read_text()
    content = json.loads(text)
    del content["sha256"]
    file.write_text(
        {
            "torn": text[:-50],
            "flipped": text.replace('"layer": 7', '"layer": 6').replace('"layer":7', '"layer":6'),
            "empty": "",
            "old": json.dumps(content),
        }[damage]
    )
    again = Measuring()
    assert recall(tmp_path, again) == found
    assert again.asked == []
    assert recall(tmp_path, Measuring()) == found


def test_what_is_no_ordinary_file(tmp_path: Path) -> None:
    found = recall(tmp_path, Measuring())
    (whole,) = (path for path in tmp_path.iterdir() if path.suffix == ".json")
    whole.unlink()
    os.mkfifo(whole)
    assert recall(tmp_path, Measuring()) == found  # of the trials, and written anew
    (trials,) = tmp_path.glob("*.trials.jsonl")
    whole.write_text("{}")
    trials.unlink()
    trials.symlink_to("/dev/zero")
    with pytest.raises(BadFile, match="not an ordinary file"):
        recall(tmp_path, Measuring())


@pytest.mark.parametrize(
    "change",
    [{"task_hash": "u"}, {"seed": 1}, {"budget": 11}, {"model_hash": "n"}, {"dose": 0.1},
     {"arm": Arm("icv", method="icv")}, {"limit": 3}],
)  # fmt: skip
def test_another_search_is_not_taken_for_it(tmp_path: Path, change: dict[str, Any]) -> None:
    recall(tmp_path, Measuring())
    other = Measuring()
    recall(tmp_path, other, dataclasses.replace(SPEC, **change))
    assert other.asked


def test_another_space_is_another_search(tmp_path: Path) -> None:
    recall(tmp_path, Measuring())
    other = Measuring()
    wider = {**SPACE, "coefficient": Real(0.1, 20.0, 1.0)}
    Searches(tmp_path).recall(
        SPEC, wider, lambda kept: search(wider, other, metric="acc", budget=12, kept=kept)
    )
    assert other.asked


def test_controls_and_promptings_share_it(tmp_path: Path) -> None:
    recall(tmp_path, Measuring())
    for arm in (
        Arm("random_vector:fv", method="random_vector", matched="fv"),
        Arm("fv@few_shot", prompting="few_shot", method="fv"),
    ):
        same = Measuring()
        recall(tmp_path, same, dataclasses.replace(SPEC, arm=arm, shots=10))
        assert same.asked == []


def test_when_nothing_can_be_measured_the_first_reason_is_told_and_not_kept(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError) as caught:
        recall(tmp_path, Measuring(broken="out of\nmemory"))
    assert str(caught.value) == (
        "none of 12 configurations could be measured; the first one: out of memory"
    )
    assert recall(tmp_path, healed := Measuring()).chosen.score > 0
    assert len(healed.asked) == 12


def found_of(*trials: tuple[Settings, float, float | None], higher: bool = True) -> Search:
    outcomes = [Outcome(s, (score,), 0.1, None, {}, lp) for s, score, lp in trials]
    made = tuple(outcome.trial() for outcome in outcomes)
    return Search(SPACE, len(made), "acc", higher, 1, made)


def test_equal_scores_are_decided_by_the_log_probability() -> None:
    a, b, c = ({"layer": layer, "coefficient": 1.0} for layer in (1, 2, 3))
    assert found_of((a, 0.5, -2.0), (b, 0.5, -1.0), (c, 0.4, -0.1)).chosen.settings == b
    assert found_of((a, 0.5, None), (b, 0.5, None)).chosen.settings == a  # else the earliest
    assert (
        found_of((a, 3.0, -2.0), (b, 3.0, -1.0), (c, 4.0, 0.0), higher=False).chosen.settings == b
    )
    thirtieth = found_of((a, 0.5, -0.01), (b, 0.5 + 1 / 3000, -19.0))
    assert thirtieth.chosen.settings == b  # no log-probability outweighs a document


def test_values_at_the_edge_are_said() -> None:
    assert found_of(({"layer": 9, "coefficient": 0.1}, 1.0, None)).edges == {
        "layer": "highest", "coefficient": "lowest",
    }  # fmt: skip
    assert found_of(({"layer": 8, "coefficient": 1.0}, 1.0, None)).edges == {}
    assert found_of(({"layer": 1, "coefficient": 9.0}, 1.0, None)).edges == {
        "coefficient": "highest"  # a twentieth of the two orders of magnitude is a factor of 1.26
    }
    assert found_of(({"layer": 1, "coefficient": 7.5}, 1.0, None)).edges == {}
    assert found_of(({"layer": 1, "coefficient": -8.0}, 1.0, None)).edges == {}  # a published one
    one = Search({"layer": Integer(0, 0, 0)}, 1, "acc", True, 1, (found_of(
        ({"layer": 0}, 1.0, None)).trials))  # fmt: skip
    assert one.edges == {}


def test_searches_of_earlier_versions_are_read() -> None:
    """A space was the list of values by setting; a trial knew no log-probability."""
    trial = {"settings": {"layer": 2}, "score": None, "seconds": 0.1, "error": "x"}
    other = {"settings": {"layer": 0}, "score": 0.5, "seconds": 0.1, "error": None}
    read = Search.from_json(
        {"space": {"layer": [2, 0]}, "budget": 2, "metric": "acc", "higher_is_better": True,
         "documents": 3, "trials": [trial, other], "chosen": {"layer": 0}, "split": "validation"}
    )  # fmt: skip
    assert read.space == {"layer": Choice((2, 0))}
    assert math.isnan(read.trials[0].score)
    assert read.chosen.settings == {"layer": 0}
    assert Search.from_json(json.loads(json.dumps(found_of(
        ({"layer": 1, "coefficient": 2.0}, 0.5, -1.0)).as_json()))) == found_of(
        ({"layer": 1, "coefficient": 2.0}, 0.5, -1.0))  # fmt: skip
