"""Identity is the spec: names for people are shared, and nothing is dropped without a word."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from reports import Comparison, NotCompared, Record, baseline, by_model, frame
from reports.baseline import BadBaseline
from reports.gate import Rule, gate
from reports.writer import write
from tests.reports.records import record


def of(pretrained: str, **more: Any) -> Record:
    found = record(**more)
    arguments = {"pretrained": pretrained}
    return dataclasses.replace(found, spec={**found.spec, "model": "hf", "model_args": arguments})


def test_checkpoints_whose_last_folder_has_the_same_name() -> None:
    records = [
        of("/a/run1/final", model_hash="m1", values=(1, 1, 1, 1)),
        of("/a/run2/final", model_hash="m2", values=(0, 0, 0, 0)),
        of("/b/run2/final", model_hash="m3", values=(0, 0, 1, 1)),
    ]
    found = baseline.cases(records)
    assert {name: case.value for name, case in found.items()} == {
        "run1/final antonym zero_shot 0": 1,
        "a/run2/final antonym zero_shot 0": 0,
        "b/run2/final antonym zero_shot 0": 0.5,
    }
    titles = ["run1/final", "a/run2/final", "b/run2/final"]
    assert [comparison.model for comparison in by_model(records)] == titles
    assert set(frame(records)["model"]) == set(titles)
    (alone,) = baseline.cases(records[:1])
    assert alone == "final antonym zero_shot 0"


def test_one_gate_of_two_such_checkpoints_sees_both(tmp_path: Path) -> None:
    good, other = of("/a/x/final", model_hash="m1"), of("/a/y/final", model_hash="m2")
    path = tmp_path / "b.json"
    gate([good, other], path, update=True)
    worse = of("/a/y/final", model_hash="m2", values=(0, 0, 0, 0))
    for records in ([good, worse], [worse, good]):
        statuses = {verdict.case: verdict.status for verdict in gate(records, path)}
        assert statuses == {
            "x/final antonym zero_shot 0": "pass", "y/final antonym zero_shot 0": "worse",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": 2}, "limit=2"),
        ({"chat_template": True}, "chat_template=True"),
        ({"gen_kwargs": {"top_k": 5}}, "gen_kwargs={top_k=5}"),
    ],
)
def test_records_asked_in_two_ways_are_two_comparisons(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    whole = [record(values=(0, 0, 1, 1)), record(arm="fv", values=(0, 1, 1, 1))]
    other = [record(values=(0, 0), **change), record(arm="fv", values=(1, 1), **change)]
    found = baseline.cases([*other, *whole])
    short = {name.removeprefix("reference antonym "): case.value for name, case in found.items()}
    assert short == {
        "zero_shot 0": 0.5, "fv 0": 0.75, f"zero_shot 0 ({said})": 0, f"fv 0 ({said})": 1,
    }  # fmt: skip
    comparisons = {each.model: each for each in by_model([*other, *whole])}
    assert set(comparisons) == {"reference", f"reference ({said})"}
    assert comparisons["reference"].difference("fv").value == 0.25
    assert comparisons[f"reference ({said})"].difference("fv").value == 1
    with pytest.raises(NotCompared, match="several ways"):
        Comparison([*other, *whole])
    text = write(tmp_path, [*other, *whole]).markdown.read_text()
    assert "## reference\n" in text
    assert said.split("=")[0] in text


def test_a_task_in_two_wordings_divides_a_comparison_and_the_others_are_part_of_both() -> None:
    plain, worded = {"chat_template": False}, {"chat_template": True, "frame": "paraphrase"}
    once = [record(arm=arm, values=(0, 1), **plain) for arm in ("zero_shot", "fv")]
    style = {"task": "formality", "suite": "behavior_shift"}
    mixed = [record(arm=arm, values=(0, 1), **style, **worded) for arm in ("paraphrase", "fv")]
    (whole,) = by_model([*once, *mixed])
    assert whole.suites == {"precision": ["antonym"], "behavior_shift": ["formality"]}
    other = [record(arm=arm, values=(1, 1), **style, **plain) for arm in ("zero_shot", "fv")]
    found = {each.model: each for each in by_model([*once, *mixed, *other])}
    assert set(found) == {"reference", "reference (chat_template=True, frame=paraphrase)"}
    for each in found.values():
        assert each.suites == whole.suites
        assert each.superseded == 0
    assert found["reference"].cell("fv", ["formality"]).value == 1


def test_doses_of_one_arm_stand_beside_the_same_baseline() -> None:
    records = [
        record(), record(arm="fv", values=(1, 1, 1, 0)),
        record(arm="fv", values=(1, 1, 1, 1), dose=0.5),
    ]  # fmt: skip
    comparison = Comparison(records)
    assert comparison.superseded == 0
    assert set(comparison.arms) == {"zero_shot", "fv", "fv (dose=0.5)"}
    assert comparison.difference("fv").value == 0.25
    assert comparison.difference("fv (dose=0.5)").value == 0.5
    assert set(baseline.cases(records)) == {
        "reference antonym zero_shot 0", "reference antonym fv 0",
        "reference antonym fv 0 (dose=0.5)",
    }  # fmt: skip


@pytest.mark.parametrize("part", ["task_hash", "method_code"])
def test_of_two_versions_the_newer_counts_and_the_other_is_counted(part: str) -> None:
    old = record(arm="fv", values=(0, 0, 0, 0), date="2026-01-01T00:00:00+00:00", **{part: "old"})
    new = record(arm="fv", values=(1, 1, 1, 1), date="2026-01-02T00:00:00+00:00", **{part: "new"})
    for records in ([old, new], [new, old]):
        comparison = Comparison(records)
        assert comparison.superseded == 1
        (case,) = baseline.cases(records).values()
        assert case.value == 1


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["tolerance", "slowdown", "significance"])
def test_a_rule_that_nothing_could_break(name: str, bound: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        Rule(**{name: bound})


@pytest.mark.parametrize(
    "change",
    [
        {"values": "1"}, {"values": ""}, {"values": "0120"}, {"values": "0.500 nan 1.000 0.000 "},
        {"values": "0.5 0.5 0.5 0.5 "}, {"value": True}, {"value": "0.5"}, {"value": 1e999},
        {"overhead": 0}, {"overhead": "1"}, {"higher_is_better": 1}, {"protocol": None},
        {"surprise": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_baseline_is_checked_to_the_last_value(change: dict[str, Any], tmp_path: Path) -> None:
    path, records = tmp_path / "b.json", [record(values=(0, 1, 1, 0))]
    gate(records, path, update=True)
    (name,) = baseline.read(path)
    content = json.loads(path.read_text())
    content["cases"][name].update(change)
    path.write_text(json.dumps(content).replace("Infinity", "1e999"))
    if change == {"values": "1"}:  # of the right kind, but not as many as documents
        assert [verdict.status for verdict in gate(records, path)] == ["changed_protocol"]
        return
    with pytest.raises(BadBaseline, match=r"b\.json: cases") as caught:
        gate(records, path)
    assert "\n" not in str(caught.value)


def test_a_line_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    gate([record(values=(1, 1, 1, 1))], path, update=True)
    line = path.read_text().splitlines()[1]
    path.write_text(path.read_text().replace(line, f"{line},\n{line.replace('1111', '0000')}"))
    with pytest.raises(BadBaseline, match="'reference antonym zero_shot 0' stands twice"):
        gate([record(values=(0, 0, 0, 0))], path)


def test_new_cases_are_added_to_a_file_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(BadBaseline, match=r"mispelt\.json: no such file"):
        gate([record()], tmp_path / "mispelt.json", update_new_only=True)
    assert not (tmp_path / "mispelt.json").exists()
