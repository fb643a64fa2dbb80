"""A user's own pairs: as a file, as a task, as three lines of YAML, and every malformed form."""

import json
from pathlib import Path

import pytest

import task_defs
from task_defs.precision import utils

PAIRS = [{"input": f"word{i}", "output": f"answer{i}"} for i in range(60)]

YAML = """task: colours
class: !function task_defs.task.PairsTask
dataset_kwargs: {file: colours.json}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "colours.json").write_text(json.dumps(PAIRS, indent=4))
    (tmp_path / "colours.yaml").write_text(YAML)
    return tmp_path


def test_a_list_and_lines_read_alike(folder: Path) -> None:
    lines = folder / "colours.jsonl"
    lines.write_text("\n\n".join(map(json.dumps, PAIRS)))
    expected = utils.split([(row["input"], row["output"]) for row in PAIRS])
    for split, part in expected.items():
        for path in (folder / "colours.json", lines):
            found = task_defs.pairs_file(path, split)
            assert found.pairs == tuple(part)
            assert found.name == "colours"
    assert {split: len(part) for split, part in expected.items()} == {
        "train": 42,
        "validation": 5,
        "test": 13,
    }


def test_three_lines_of_yaml(folder: Path) -> None:
    from_yaml = task_defs.examples("colours", "test", folder)
    assert from_yaml == task_defs.pairs_file(folder / "colours.json", "test")
    assert "colours" in task_defs.tasks(folder)
    assert task_defs.config("colours", folder)["metadata"]["headline"] == "acc"
    assert [report.findings for report in task_defs.validate(folder)] == [()]


def test_lm_eval_loads_the_yaml_and_the_dict(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    test = task_defs.pairs_file(folder / "colours.json", "test")
    given = task_defs.pairs_task(folder / "colours.json", "mine")
    for spec, name in (("colours", "colours"), (given, "mine")):
        task = manager.load([spec])["tasks"][name]
        documents = list(task.test_docs())
        assert [(doc["input"], doc["output"]) for doc in documents] == list(test.pairs)
        assert task.fewshot_context(documents[0], 0) == test.prompt((), test.pairs[0][0])
        assert task.process_results(documents[0], [(-1.5, True)]) == {
            "acc": 1.0,
            "target_logprob": -1.5,
        }


def test_own_settings_win(folder: Path) -> None:
    (folder / "colours.yaml").write_text(YAML + 'doc_to_text: "{{input}} ->"\nmetadata: {shots: 4}')
    found = task_defs.examples("colours", include_path=folder)
    assert found.prompt([("a", "b")], "c") == "a -> b\n\nc ->"
    assert found.shots == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[]", "no pairs"),
        ('[{"input": "a", "output": "b"},\n {"input": "a"]', "line 2: not JSON"),
        ('{"input": "a", "output": "b"}\n{"input": ', "line 2: not JSON"),
        ('{"input": "a", "output": "b"}\n\n{"input": "a"}', "line 3: expected an object with two"),
        ('[{"input": "a", "output": "b"}, ["a", "b"]]', "item 2: expected an object with two"),
        ('[{"input": "a", "output": 3}]', "item 1: expected an object with two"),
        ('[{"input": " ", "output": "b"}]', "item 1: expected an object with two"),
        (json.dumps(PAIRS[:12]), "12 pairs leave 8 for training, expected more than 10 for 10"),
        (
            json.dumps([{"input": f"w{i}", "output": f"w{i + 1}"} for i in range(60)]),
            "no pairs for the validation split",
        ),
    ],
)
def test_malformed_files_fail_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    for read in (task_defs.pairs_file, task_defs.pairs_task):
        with pytest.raises(task_defs.BadPairs, match=message) as raised:
            read(path)
        assert "bad.json" in str(raised.value)
        assert "\n" not in str(raised.value)


def test_missing_file_and_wrong_split(folder: Path) -> None:
    with pytest.raises(task_defs.BadPairs, match=r"none\.json: no such file"):
        task_defs.pairs_file(folder / "none.json")
    with pytest.raises(task_defs.BadPairs, match="no split 'dev'"):
        task_defs.pairs_file(folder / "colours.json", "dev")
