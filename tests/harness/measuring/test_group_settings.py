"""What a group puts over its tasks' settings holds wherever they are asked by it, as in lm-eval."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.config.group import GroupConfig
from lm_eval.tasks import TaskManager

import harness
import task_defs
from harness.cases.evals import Asked, Evaluator
from harness.measuring import library
from harness.measuring.changes import AskedTwice
from harness.measuring.sources import Sources
from task_defs.groups import GROUP_KEYS

CHOICE = """
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
fewshot_split: test
output_type: multiple_choice
doc_to_text: "{{q}}?"
doc_to_choice: ["{{a}}", "{{b}}"]
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
MEAN = "aggregation: mean, higher_is_better: true"
BOTH = f"[{{metric: acc_norm, {MEAN}}}, {{metric: acc, {MEAN}}}]"
GROUPS = {
    "g": "task: [{task: x, num_fewshot: 2}, {task: y, doc_to_text: '{{q}} =', metric_list: BOTH}]",
    "h": "num_fewshot: 1\ntask:\n"
    "  - {group: inner, task_alias: z, task: [x, {task: y, num_fewshot: 0}]}\n"
    "  - {task: pairs, doc_to_text: '{{input}} ->'}\n  - {task: included, num_fewshot: 3}",
    "k": "task: [{group: g, description: 'Say. '}, {task: included, description: 'Yes. '}]",
    "plain": "task: [x, y]",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(library, "_defaults", dict)  # lm-eval's own files are not read
    rows = [{"q": f"{i} and {i % 7}", "a": str(i * 7 % 10), "b": str(i % 9)} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = [{"input": f"w{i}", "output": f"{i}"} for i in range(40)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    files = {name: f"task: {name}\n{CHOICE}" for name in ("x", "y")}
    files["included"] = "include: x.yaml\ntask: included\nnum_fewshot: 2\ndoc_to_text: '{{q}} :'"
    files["pairs"] = "task: pairs\nclass: !function task_defs.task.PairsTask\n"
    files["pairs"] += "dataset_kwargs: {file: pairs.json}\n"
    files |= {
        name: f"group: {name}\n{text}\naggregate_metric_list: [{{metric: acc}}]"
        for name, text in GROUPS.items()
    }
    for name, text in files.items():
        own = text.replace("FILE", str(tmp_path / "rows.jsonl")).replace("BOTH", BOTH)
        (tmp_path / f"{name}.yaml").write_text(own)
    return tmp_path


def test_the_keys_of_groups_are_lm_evals() -> None:
    assert {each.name for each in fields(GroupConfig)} == GROUP_KEYS


@pytest.mark.parametrize("name", ["g", "h", "k"])
def test_numbers_are_those_of_lm_eval(
    name: str, folder: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    theirs = simple_evaluate(
        model="hf", model_args={"pretrained": str(checkpoint), "dtype": "float32"}, device="cpu",
        tasks=[name], task_manager=manager, limit=10, fewshot_random_seed=0, bootstrap_iters=0,
    )  # fmt: skip
    ours = harness.evaluate(str(checkpoint), tasks=name, include_path=str(folder), limit=10)
    capsys.readouterr()
    for task, samples in theirs["samples"].items():
        own = ours.results[task]
        assert own["num_fewshot"] == theirs["n-shot"][task]
        block = theirs["results"][task]
        expected = {key.partition(",")[0]: value for key, value in block.items() if "," in key}
        for metric, value in own["metrics"].items():
            if metric != "target_logprob":  # ours alone
                assert value["value"] == pytest.approx(expected[metric], abs=1e-9)
        assert {m for m in expected if "_stderr" not in m} <= own["metrics"].keys()
        questions = [each["input"] for each in ours.documents[task]]
        asked = [each["arguments"][0][0] for each in samples]
        assert task == "pairs" or all(map(str.endswith, asked, questions))
    whole = theirs["groups"][name].get("acc,none")
    if whole is not None:
        assert ours.results[name]["metrics"]["acc"]["value"] == pytest.approx(whole, abs=1e-9)


def test_a_changed_task_has_another_identity_and_other_examples(folder: Path) -> None:
    names = {"pairs": "h", "x": "g", "included": "k"}
    for task, group in names.items():
        plain, changed = Sources(str(folder)), Sources(str(folder))
        assert plain.named(task) == [task]
        assert task in changed.named(group)
        assert plain.fingerprint(task) != changed.fingerprint(task)
    asked = Sources(str(folder))
    asked.named("h")
    assert asked.examples("pairs").prompt((), "w1") == "w1 ->"
    assert asked.metadata("pairs")["headline"] == "acc"
    assert asked.shots("included") == 3
    ranked = Sources(str(folder))
    ranked.named("g")
    assert ranked.template("y").config.metric_list[0]["metric"] == "acc_norm"
    assert ranked.by_size("y", "acc")  # weighed by size unless a group says otherwise


def test_one_name_has_one_meaning(folder: Path, tmp_path: Path) -> None:
    path = str(folder)
    for asked in ("g,x", "x,g", "plain,h", "g,h"):
        with pytest.raises(AskedTwice, match=r"'x' is asked by \w+ and by \w+ .*num_fewshot"):
            Sources(path).select(None, asked)
    assert Sources(path).select(None, "x,plain") == ("x", "y")
    twice = "group: twice\ntask: [{task: x, num_fewshot: 1}, {task: x, num_fewshot: 2}]"
    (folder / "twice.yaml").write_text(twice)
    with pytest.raises(AskedTwice, match="asked twice by a group"):
        Sources(path).named("twice")
    model = Evaluator("reference", {}, tmp_path)
    given: dict[str, Any] = {"include_path": path, "arms": ("zero_shot",)}
    tuners = [model.tuner(Asked(tasks=(name,), **given)) for name in ("plain", "g", "y", "g")]
    assert tuners[0] is tuners[2]
    assert tuners[1] is tuners[3]
    first, second = (each.session.sources.template("x") for each in tuners[:2])
    assert (first.config.num_fewshot, second.config.num_fewshot) == (None, 2)


@pytest.mark.parametrize("named", ["{task: plain, num_fewshot: 1}", "{task: both, num_fewshot: 1}"])
def test_a_group_or_tag_with_settings_keeps_its_tasks(folder: Path, named: str) -> None:
    (folder / "included.yaml").unlink()  # would inherit the tag
    for name in ("x", "y"):
        path = folder / f"{name}.yaml"
        path.write_text(path.read_text() + "tag: both\n")
    (folder / "outer.yaml").write_text(f"group: outer\ntask: [{named}]")
    loaded = Sources(str(folder)).load_any("outer").tasks
    assert {key: task.config.num_fewshot for key, task in loaded.items()} == {"x": 1, "y": 1}


def test_validate_reads_what_a_group_changes(folder: Path) -> None:
    (folder / "a.yaml").write_text(
        "group: a\ntask: [{task: x, metric_list: [{metric: other}]}, {task: y, output_type: 5}]\n"
        "aggregate_metric_list: [{metric: acc}]"
    )
    (folder / "b.yaml").write_text("group: b\ntask: [x, x, {task: y, num_fewshot: 1}, y]")
    found = {each.name: each for each in task_defs.validate(folder)}
    assert str(found["b.yaml"]).startswith("b.yaml: y is a member twice with different settings")
    assert found["g.yaml"].ok
    said = str(found["a.yaml"])
    assert "averaged over the group but x lacks it" in said
    assert "settings of y: output_type" in said
