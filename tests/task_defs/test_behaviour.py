"""The behaviour suite: pairs, splits, templates and what its YAML files promise."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import task_defs
from task_defs.behavior_shift import utils

TASKS = ("detoxification", "formality", "sentiment_transfer")


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def test_the_group_holds_every_task() -> None:
    assert task_defs.suites()["behavior_shift"] == TASKS
    assert sorted(path.stem for path in utils.DATA.glob("*.jsonl")) == list(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_shares(name: str) -> None:
    pairs = utils.read(name)
    parts = utils.split(pairs)
    assert len(pairs) >= 400
    assert len(parts["test"]) == 60
    assert len(parts["validation"]) == 30
    assert len(parts["train"]) >= 300


@pytest.mark.parametrize("name", TASKS)
def test_no_text_is_in_two_splits(name: str) -> None:
    sides = {
        split: {plain(text) for pair in part for text in pair}
        for split, part in utils.split(utils.read(name)).items()
    }
    assert not sides["train"] & sides["validation"]
    assert not sides["train"] & sides["test"]
    assert not sides["validation"] & sides["test"]


@pytest.mark.parametrize("name", TASKS)
def test_texts_are_short_lines_of_prose(name: str) -> None:
    """48 new tokens must hold the longest reference; English has over 3 characters per token."""
    for x, y in utils.read(name):
        assert plain(x) != plain(y)
        assert "\n" not in x + y
        assert len(y) <= 48 * 3
        assert not any(utils.degenerate(y, x).values()), y
        assert not utils.degenerate(x, "")["repetition"], x


def test_duplicates_copies_and_shared_texts() -> None:
    pairs = [(f"bad {i}", f"good {i}") for i in range(50)]
    more = [("Bad 0!", "other"), ("same", "Same."), ("worse 1", "good 1."), ("good 2", "better 2")]
    parts = utils.split([*pairs, *more])
    kept = Counter(pair for part in parts.values() for pair in part)
    assert kept == Counter([*pairs, ("worse 1", "good 1."), ("good 2", "better 2")])
    place = {pair: split for split, part in parts.items() for pair in part}
    assert place["worse 1", "good 1."] == place["bad 1", "good 1"]
    assert place["good 2", "better 2"] == place["bad 2", "good 2"]
    assert utils.split(pairs) == utils.split(pairs[::-1]) == utils.split([*pairs, *pairs])


@pytest.mark.parametrize("name", TASKS)
def test_examples_are_worded_as_the_yaml_says(name: str) -> None:
    examples = task_defs.examples(name, "train")
    assert examples.pairs == tuple(utils.split(utils.read(name))["train"])
    assert examples.shots == 4
    assert examples.prompt([("a", "b")], "c") == "Q: a\nA: b\n\nQ: c\nA:"
    metadata = task_defs.config(name)["metadata"]
    assert (metadata["suite"], metadata["headline"]) == ("behavior_shift", "joint")
    assert set(metadata["styles"]) == {"from", "to"}
    assert metadata["instruction"].endswith(".")


def test_validate_finds_nothing() -> None:
    reports = [r for r in task_defs.validate() if r.path.parent.name == "behavior_shift"]
    assert {str(report) for report in reports if not report.ok} == set()
    assert len(reports) == len(TASKS) + 2


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "line 2"),
        ('["a", "b"]', "line 2"),
        ('{"input": "a"}', "line 2"),
        ('{"input": "a", "output": 3}', "line 2"),
        ('{"input": "a", "output": "..."}', "line 2"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, line: str, found: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"input": "a", "output": "b"}\n' + line + "\n")
    with pytest.raises(utils.BadBehaviour, match=found) as caught:
        utils.read(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_file_is_one_line() -> None:
    with pytest.raises(utils.BadBehaviour, match=r"politeness\.jsonl") as caught:
        utils.read("politeness")
    assert "\n" not in str(caught.value)


def test_ones_own_pairs_beside_a_yaml(tmp_path: Path) -> None:
    rows = [{"input": f"bad thing {i}", "output": f"good thing {i}"} for i in range(40)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    base = utils.DATA.parent / "_behavior_shift_task.yaml"
    (tmp_path / "own.yaml").write_text(
        f"include: {base}\ntask: own\ndataset_kwargs: {{file: own.jsonl}}\n"
        "metadata: {suite: mine, headline: attribute, shots: 4, version: 1.0}\n"
    )
    examples = task_defs.examples("own", "train", include_path=tmp_path)
    assert len(examples) == 40 - round(0.21 * 40) - round(0.09 * 40)
    config = task_defs.config("own", tmp_path, functions=True)
    loaded = config["custom_dataset"](**config["metadata"], **config["dataset_kwargs"])
    scored = config["process_results"](loaded["test"][0], ["good thing"])
    assert scored["attribute"] > 0.9
