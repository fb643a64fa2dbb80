"""Tasks that a hostile or unlucky world brings: one line that names the file, and nothing hangs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import task_defs
from task_defs.behavior_shift.utils import texts
from task_defs.catalog import UnboundedTask
from task_defs.precision import utils
from task_defs.schema import wrong_name

SOUND = """task: sound
class: !function task_defs.task.PairsTask
dataset_kwargs: {file: pairs.json}
"""
PAIRS = json.dumps([{"input": f"word{i}", "output": f"answer{i}"} for i in range(60)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pairs.json").write_text(PAIRS)
    (tmp_path / "sound.yaml").write_text(SOUND)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("include: 5", "include"),
        ("include: [sound.yaml, [1]]", "include"),
        ("task: 7", "task"),
        ("task: [1, 2]\ngroup: g", "task"),
        ("task: x\nmetadata: [1]", "metadata"),
        ("task: x\nmetadata: {shots: many}", "metadata.shots"),
        ("task: x\nmetadata: {shots: -1}", "metadata.shots"),
        ("task: x\nmetadata: {shots: 1.5}", "metadata.shots"),
        ("task: x\nmetadata: {added_by_harness: 3}", "metadata.added_by_harness"),
        ("task: x\ndataset_kwargs: 3", "dataset_kwargs"),
        ("task: x\ntest_split: [a]", "test_split"),
        ("task: x\ntarget_delimiter: 3", "target_delimiter"),
        ("task: x\nmetric_list: acc", "metric_list"),
        ("task: x\nmetric_list: [acc]", "metric_list.0"),
        ("task: x\ndoc_to_text: {a: b}", "doc_to_text"),
        ("task: x\nfewshot_config: [1]", "fewshot_config"),
        ("task: a/b", "task"),
        ("task: ../up", "task"),
        (f"task: {'x' * 300}", "task"),
        ('task: "a\\nb"', "task"),
        ("group: /etc/passwd\ntask: [sound]", "group"),
        ("- a\n- b", "found list"),
        ("text", "found str"),
        ("", "found NoneType"),
    ],
)
def test_a_value_of_another_kind_spoils_its_own_file_only(
    folder: Path, text: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "bad.yaml").write_text(text)
    assert len(task_defs.examples("sound", "test", folder)) == 13
    assert "bad.yaml" in caplog.text
    reports = {report.name: report for report in task_defs.validate(folder)}
    assert reports["sound.yaml"].ok
    assert place in str(reports["bad.yaml"])
    assert "\n" not in str(reports["bad.yaml"])


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " * 9, "x: &x [*x]"])
def test_what_would_break_lm_eval_stops_at_once(folder: Path, text: str) -> None:
    if text.startswith("a"):
        text = "a0: &a0 {x: 1}\n" + "".join(
            f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
        )
    (folder / "bomb.yaml").write_text(text)
    with pytest.raises(UnboundedTask, match=r"bomb\.yaml.*move it out") as caught:
        task_defs.tasks(folder)
    assert "\n" not in str(caught.value)
    found = {report.name: report.ok for report in task_defs.validate(folder)}
    assert found == {"sound.yaml": True, "bomb.yaml": False}


def test_a_pipe_among_the_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    with pytest.raises(UnboundedTask, match="not an ordinary file"):
        task_defs.tasks(folder)


CODE = """import sys
def load(**_):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(0)", "utils.py line 3: sys.exit: 0"),
        ("raise SystemExit", "utils.py line 3: sys.exit"),
        ("return 1 / 0", "utils.py line 3: ZeroDivisionError"),
        ("raise BaseException('x')", "utils.py line 3: BaseException: x"),
        ("return 5", "gave int, expected documents by split"),
        ("return {'train': 3, 'validation': 3, 'test': 3}", "TypeError"),
        ("return {'train': [1], 'validation': [1], 'test': [1]}", "a document is int"),
        ("return (", "utils.py line 3: SyntaxError"),
    ],
)
def test_a_users_function_is_named_with_file_and_line(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "utils.py").write_text(CODE.format(body=body))
    (tmp_path / "own.yaml").write_text(
        "task: own\ncustom_dataset: !function utils.load\ndoc_to_text: '{{input}}'\n"
        "doc_to_target: '{{output}}'\ntraining_split: train\ntest_split: test\n"
        "output_type: loglikelihood\nmetadata: {suite: own, version: 1, headline: acc}\n"
    )
    with pytest.raises(ValueError, match=r".") as caught:
        task_defs.examples("own", "train", tmp_path)
    assert said in str(caught.value)
    assert type(caught.value).__module__.startswith("task_defs")
    assert "\n" not in str(caught.value)
    (report,) = task_defs.validate(tmp_path)
    assert said in str(report)


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "1 / 0", "def x(:", "import nowhere"])
def test_a_users_file_that_cannot_be_run(tmp_path: Path, code: str) -> None:
    (tmp_path / "mine.py").write_text(f"{code}\n")
    (tmp_path / "own.yaml").write_text("task: own\ncustom_dataset: !function mine.load\n")
    with pytest.raises(task_defs.BadTask, match=r"mine\.py line 1"):
        task_defs.examples("own", "train", tmp_path)
    assert not any("mine" in name for name in sys.modules if name.startswith("task_defs_file_"))


@pytest.mark.parametrize(
    "name",
    ["a/b", "../up", "x" * 300, "a,b", ".hidden", "-o", "a\nb", " a", "", "a\u202eb", "\ud800"],
)
def test_names_that_no_task_has(name: str, folder: Path) -> None:
    assert wrong_name(name)
    with pytest.raises(task_defs.BadPairs, match="cannot name a task"):
        task_defs.pairs_task(folder / "pairs.json", name or " ")


def test_names_that_tasks_have() -> None:
    assert [wrong_name(name) for name in ("antonym", "my task", "größe_2", "mmlu_pro-v1.0")] == [
        None
    ] * 4


@pytest.mark.parametrize("splitting", [utils.split, texts.split])
@pytest.mark.parametrize("sizes", [(7, 12, 12), (5, 5, 5), (20, 1, 30, 2), (40, 6, 6, 6), (3,) * 5])
def test_few_groups_of_linked_words_are_split_where_they_can_be(
    splitting: object, sizes: tuple[int, ...]
) -> None:
    pairs = [
        (f"w{group}x{i}", f"w{group}x{i + 1}")
        for group, size in enumerate(sizes)
        for i in range(size)
    ]
    parts = splitting(pairs)  # type: ignore[operator]
    assert sorted(pair for part in parts.values() for pair in part) == sorted(pairs)
    assert all(parts.values())
    assert len(parts["train"]) >= max(sizes)
    groups = {
        name: {x.split("x")[0] for pair in part for x in pair} for name, part in parts.items()
    }
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["test"] & groups["validation"]


def test_two_groups_cannot_be_split(tmp_path: Path) -> None:
    pairs = [{"input": f"{g}{i}", "output": f"{g}{i + 1}"} for g in "ab" for i in range(20)]
    path = tmp_path / "two.json"
    path.write_text(json.dumps(pairs))
    with pytest.raises(task_defs.BadPairs, match="no pairs for the"):
        task_defs.pairs_file(path)
