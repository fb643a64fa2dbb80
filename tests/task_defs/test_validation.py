"""`validate`: the built-in files are sound, and each silent failure of lm-eval is named."""

from pathlib import Path

import pytest

import task_defs

UTILS = """
from datasets import Dataset, DatasetDict

def load(rows=None, **_):
    rows = rows or {"train": 12, "validation": 2, "test": 2}
    made, start = {}, 0
    for name, count in rows.items():
        items = [f"w{i}" for i in range(start, start + count)]
        made[name] = Dataset.from_dict({"input": items, "output": [w + "y" for w in items]})
        start += count
    return DatasetDict(made)

def overlap(**_):
    made = load()
    made["test"] = made["train"].select([0, 1])
    return made

NUMBER = 3
"""

GOOD = """task: sound
custom_dataset: !function utils.load
training_split: train
validation_split: validation
test_split: test
fewshot_split: train
output_type: loglikelihood
doc_to_text: "Q: {{input}}\\nA:"
doc_to_target: " {{output}}"
target_delimiter: ""
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {suite: mine, headline: acc, shots: 10, version: 1.0}
"""


def findings(folder: Path, text: str) -> str:
    (folder / "utils.py").write_text(UTILS)
    (folder / "sound.yaml").write_text(text)
    (report,) = task_defs.validate(folder)
    assert "\n" not in str(report)
    return "; ".join(report.findings)


@pytest.mark.parametrize("report", task_defs.validate(), ids=lambda report: report.name)
def test_built_in_files_are_sound(report: task_defs.Report) -> None:
    assert report.ok, str(report)


def test_a_sound_file_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD) == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: sound", "task: [", "not YAML"),
        ("task: sound", "name: sound", "neither task nor group"),
        ("task: sound", "include: nothing.yaml\ntask: sound", "cannot be read"),
        ("utils.load", "utils.lode", "utils.lode is not found"),
        ("utils.load", "utils.NUMBER", "not a function but int"),
        ("custom_dataset: !function utils.load\n", "", "no documents"),
        ("test_split: test\n", "", "the test split is missing"),
        (
            "output_type",
            "dataset_kwargs: {rows: {train: 12, validation: 2, test: 0}}\noutput_type",
            "the test split is empty",
        ),
        ("{{output}}", "", "the target is empty"),
        ('delimiter: ""', 'delimiter: " "', "the space between prompt and target is doubled"),
        ("A:", "A: ", "the space between prompt and target is doubled"),
        ("{{input}}", "{{question}}", "cannot be rendered: UndefinedError"),
        ("headline: acc, ", "", "no headline metric"),
        ("headline: acc", "headline: joint", "headline metric 'joint' is not in metric_list"),
        (", higher_is_better: true", "", "metric 'acc' does not say higher_is_better"),
        ("suite: mine, ", "", "metadata has no suite"),
        ("utils.load", "utils.overlap", "train and test share 2 inputs, for example 'w0'"),
        ("shots: 10", "shots: 12", "12 train pairs are too few for 12 shots"),
        ("fewshot_split: train", "fewshot_split: test", "fewshot_split is not the training split"),
        ("output_type: loglikelihood\n", "", "no output_type"),
        ("task: sound", "task: sound\ngroup: sound", "the group has no tasks|no task named"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    found = findings(tmp_path, GOOD.replace(old, new, 1))
    if "|" in message:
        assert any(part in found for part in message.split("|"))
    else:
        assert message in found


def test_a_headline_that_the_harness_adds(tmp_path: Path) -> None:
    metadata = "headline: joint, added_by_harness: [fluency, joint]"
    assert findings(tmp_path, GOOD.replace("headline: acc", metadata)) == ""


def test_a_group_averages_only_what_all_members_have(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text(UTILS)
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "z.yaml").write_text(
        "group: mine\ntask: [sound, absent]\naggregate_metric_list: [{metric: joint}]\n"
    )
    report = {report.name: report for report in task_defs.validate(tmp_path)}["z.yaml"]
    assert report.findings == (
        "no task named 'absent'",
        "metric 'joint' is averaged over the group but sound lacks it",
    )


@pytest.mark.parametrize(
    "members", [{"a": "[a]"}, {"a": "[b]", "b": "[a]"}, {"a": "[sound, b]", "b": "[{task: a}]"}]
)
def test_a_group_that_is_a_member_of_itself(tmp_path: Path, members: dict[str, str]) -> None:
    (tmp_path / "utils.py").write_text(UTILS)
    (tmp_path / "sound.yaml").write_text(GOOD)
    for name, own in members.items():
        (tmp_path / f"{name}.yaml").write_text(f"group: {name}\ntask: {own}\n")
    for report in task_defs.validate(tmp_path):
        circular = "are in a circle" in "; ".join(report.findings)
        assert circular == (report.name != "sound.yaml")
    assert not members.keys() & task_defs.suites(tmp_path).keys()
    assert task_defs.examples("sound", "train", tmp_path)  # the other files are none the worse


@pytest.mark.parametrize(
    "listed", ["{group: sound}", "{group: inner, task: [{task: sound, num_fewshot: 1}]}"]
)
def test_a_group_in_a_group(tmp_path: Path, listed: str) -> None:
    (tmp_path / "utils.py").write_text(UTILS)
    (tmp_path / "sound.yaml").write_text(GOOD)
    (tmp_path / "z.yaml").write_text(f"group: mine\ntask: [{listed}]\n")
    assert all(report.ok for report in task_defs.validate(tmp_path))


@pytest.mark.parametrize("listed", ["{group: 5}", "{num_fewshot: 3}", "{task: [sound]}", "5"])
def test_a_member_without_a_name(tmp_path: Path, listed: str) -> None:
    (tmp_path / "z.yaml").write_text(f"group: mine\ntask: [{listed}]\n")
    (report,) = task_defs.validate(tmp_path)
    assert "task" in str(report)
    assert not report.ok


def test_a_tag_and_a_task_of_one_name(tmp_path: Path) -> None:
    """lm-eval knows one of the two; which one is a matter of the files' order."""
    (tmp_path / "utils.py").write_text(UTILS)
    (tmp_path / "a.yaml").write_text(GOOD + "tag: [sound, other]\n")
    (tmp_path / "b.yaml").write_text(GOOD.replace("task: sound", "task: other"))
    first, second = task_defs.validate(tmp_path)
    assert first.findings == ("the tag 'sound' is the name in a.yaml too; rename one of them",)
    assert second.findings == ("'other' is defined in a.yaml too; lm-eval skips this",)
    assert {"sound"} == set(task_defs.tasks(tmp_path)) - set(task_defs.tasks())


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "include: a.yaml"}, "a.yaml: includes itself"),
        ({"a": "include: b.yaml", "b": "include: a.yaml"}, "a.yaml: includes itself"),
        ({"a": "include: [b.yaml, c.yaml]", "b": "include: d.yaml", "c": "include: d.yaml",
          "d": "repeats: 1"}, "d.yaml twice or in a circle"),
        ({"a": "include: b.yaml", "b": "include: b.yaml"}, "b.yaml twice or in a circle"),
    ],
)  # fmt: skip
def test_includes_that_lm_eval_refuses(tmp_path: Path, files: dict[str, str], said: str) -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(f"{text}\ntask: {name}\n")
    with pytest.raises(ValueError, match="cycle"):
        load_yaml(tmp_path / "a.yaml")
    with pytest.raises(task_defs.UnknownTask, match=said) as found:
        task_defs.config("a", tmp_path)
    assert "\n" not in str(found.value)


def test_a_delimiter_that_is_never_scored(tmp_path: Path) -> None:
    text = GOOD.replace('target_delimiter: ""', 'target_delimiter: " "').replace('" {{o', '"{{o')
    assert "' ' is left out of what lm-eval scores" in findings(tmp_path, text)


def test_a_name_taken_twice(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text(UTILS)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    first, second = task_defs.validate(tmp_path)
    assert first.ok
    assert second.findings == ("'sound' is defined in a.yaml too; lm-eval skips this",)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        task_defs.validate(tmp_path / "none")
    with pytest.raises(ValueError, match="no YAML files"):
        task_defs.validate(tmp_path)


CHOICES = """
def rows(**_):
    from datasets import Dataset, DatasetDict

    items = [{"asked": f"q{i}", "options": ["a", "b"], "right": i % 2} for i in range(4)]
    return DatasetDict({"test": Dataset.from_list(items), "none": Dataset.from_list([])})

def text(doc):
    return doc["asked"]
"""
ANY = """task: chosen
custom_dataset: !function choices.rows
test_split: test
output_type: multiple_choice
doc_to_text: !function choices.text
doc_to_choice: "{{options}}"
doc_to_target: right
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", ""),
        ("!function choices.text", '"{{asked}}:"', ""),
        ('"{{options}}"', '["a", "b"]', ""),
        ("doc_to_target: right", "doc_to_target: 0", ""),
        ('"{{options}}"', '"{{choices}}"', "test document 0: cannot be rendered: UndefinedError"),
        ("choices.text", "choices.words", "choices.words is not found"),
        ("test_split: test", "test_split: dev", "the split 'dev' is missing (test_split)"),
        ("test_split: test", "test_split: none", "the split 'none' is empty (test_split)"),
        ("test_split: test", "training_split: test", "neither test_split nor validation_split"),
    ],
)
def test_a_task_of_any_kind_is_sound_as_it_is(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Documents that are no pairs need neither our fields nor our metadata."""
    (tmp_path / "choices.py").write_text(CHOICES)
    (tmp_path / "chosen.yaml").write_text(ANY.replace(old, new, 1))
    (tmp_path / "group.yaml").write_text(
        "group: both\ntask: [chosen]\naggregate_metric_list: [{metric: acc}]\n"
    )
    chosen, group = task_defs.validate(tmp_path)
    assert group.ok
    assert message in str(chosen)
    assert chosen.ok == (message == "")
