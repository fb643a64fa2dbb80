"""Groups, tags and includes that lead back to themselves; groups of groups, which do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.comparing.choice import choose_side
from harness.errors import UsageError
from harness.measuring import library
from harness.measuring.sources import Sources
from harness.measuring.spec import parse_arms

TASK = "class: !function task_defs.task.PairsTask\ndataset_kwargs: {file: pairs.json}\n"
SUM = "aggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"


@pytest.fixture(autouse=True)
def _own_tasks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's fourteen thousand files are not read."""
    monkeypatch.setattr(library, "_defaults", dict)


def folder(place: Path, **files: str) -> Sources:
    pairs = [{"input": f"w{i}", "output": f"a{i}"} for i in range(40)]
    (place / "pairs.json").write_text(json.dumps(pairs))
    for name, text in files.items():
        (place / f"{name}.yaml").write_text(text)
    return Sources(include_path=str(place))


@pytest.mark.parametrize(
    ("files", "way"),
    [
        ({"x": "group: x\ntask: [x]"}, "x > x"),
        ({"x": "group: x\ntask: [y]", "y": "group: y\ntask: [x]"}, "x > y > x"),
        ({"x": "group: x\ntask: [y, antonym]", "y": "group: y\ntask: [y]"}, "y > y"),
        ({"x": "group: x\ntask: [{task: y, num_fewshot: 1}]",
          "y": "group: y\ntask: [{group: x, num_fewshot: 1}]"}, "x > y > x"),
        ({"x": "group: x\ntask:\n  - {group: inner, task: [antonym, x]}"}, "x > x"),
    ],
)  # fmt: skip
def test_a_circle_of_groups(tmp_path: Path, files: dict[str, str], way: str) -> None:
    sources = folder(tmp_path, **files)
    method = parse_arms(["icv"], ("icv",))
    for ask in (
        lambda: sources.load_any("x"),
        lambda: sources.select(None, "x"),
        lambda: choose_side("x", sources, method),
        lambda: Sources(include_path=str(tmp_path), fit_on="x").fitted_on("antonym"),
    ):
        with pytest.raises(UsageError, match=way) as found:
            ask()
        assert str(tmp_path / f"{way[0]}.yaml") in str(found.value)
        assert "\n" not in str(found.value)
    assert sources.select(None, "antonym") == ("antonym",)  # the other tasks are none the worse


def test_groups_of_groups(tmp_path: Path) -> None:
    sources = folder(
        tmp_path,
        x=f"group: x\ntask: [y, z]\n{SUM}",
        y=f"group: y\ntask: [mine]\n{SUM}",
        z="group: z\ntask: [antonym, {group: inner, task: [uppercase]}]\n",
        mine=f"task: mine\ntag: words\n{TASK}",
        own="group: own\ntask: [words]\n",
    )
    assert sources.select(None, "x") == ("mine", "antonym", "uppercase")
    assert sources.select(None, "own") == ("mine",)
    assert sources.select(None, "words") == ("mine",)
    loaded = sources.load_any("x")
    assert set(loaded.tasks) == {"mine", "antonym", "uppercase"}
    assert {"x", "y", "z"} <= loaded.groups.keys()
    assert len(sources.load("mine").eval_docs)


@pytest.mark.parametrize("tag", ["mine", "[mine, other]"])
def test_a_tag_that_is_its_own_member(tmp_path: Path, tag: str) -> None:
    sources = folder(
        tmp_path, a=f"task: mine\ntag: {tag}\n{TASK}", b=f"task: other\ntag: mine\n{TASK}"
    )
    assert sources.select(None, "mine") == ("mine",)
    assert set(sources.load_any("mine").tasks) == {"mine"}
    assert len(sources.load("mine").eval_docs)


@pytest.mark.parametrize(
    "files",
    [
        {"mine": "include: mine.yaml\ntask: mine"},
        {"mine": "include: base.yaml\ntask: mine", "base": "include: mine.yaml"},
        {"mine": "include: [base.yaml, more.yaml]\ntask: mine", "base": "include: more.yaml",
         "more": "repeats: 1"},
    ],
)  # fmt: skip
def test_a_circle_of_includes(tmp_path: Path, files: dict[str, str]) -> None:
    sources = folder(tmp_path, **{name: f"{text}\n{TASK}" for name, text in files.items()})
    for ask in (lambda: sources.load_any("mine"), lambda: sources.select(None, "mine")):
        with pytest.raises(UsageError, match="leave one include out") as found:
            ask()
        assert str(tmp_path) in str(found.value)
        assert "\n" not in str(found.value)
