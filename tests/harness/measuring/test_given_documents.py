"""What is said where documents of one's own are not what a task asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.measuring import library
from harness.measuring.sources import Sources

TASK = """
task: NAME
tag: both
dataset_path: nobody/has-this
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["a", "b"]
doc_to_target: 0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(library, "_defaults", dict)  # lm-eval's own files are not read
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(TASK.replace("NAME", name))
    (tmp_path / "inner.yaml").write_text("group: inner\ntask: [both]")
    (tmp_path / "outer.yaml").write_text("group: outer\ntask: [inner, antonym]")
    rows = [{"asked": str(i), "label": 0} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def said(sources: Sources, asked: str) -> str:
    with pytest.raises(UsageError) as caught:
        sources.load(sources.select(None, asked)[0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "tasks"), [("both", "one, two"), ("inner", "one, two"), ("outer", "antonym, one, two")]
)
def test_documents_are_given_to_tasks_and_not_to_groups(
    name: str, tasks: str, folder: Path
) -> None:
    given = (f"{name}={folder / 'rows.jsonl'}",)
    sources = Sources(str(folder), datasets=given)
    assert f"name of several; give TASK=PATH for {tasks}" in said(sources, name)


def test_fields_that_a_task_does_not_find_are_named_with_those_that_are_there(folder: Path) -> None:
    given = (f"one={folder / 'rows.jsonl'}",)
    for asked in ("one", "both"):
        text = said(Sources(str(folder), datasets=given), asked)
        if asked == "one":
            assert "'question' is undefined" in text
        assert text.endswith("fields of the documents that were given: one: asked, label")


def test_where_a_group_cannot_be_fetched_its_tasks_are_named(folder: Path) -> None:
    sources = Sources(str(folder))
    assert said(sources, "both").endswith("--dataset TASK=FILE for one, two")
    assert said(sources, "outer").endswith("--dataset TASK=FILE for antonym, one, two")


def test_two_files_of_one_name(folder: Path) -> None:
    other = folder / "more"
    other.mkdir()
    (other / "rows.jsonl").write_text("")
    for data in ((f"{folder}/rows.jsonl", f"{other}/rows.jsonl"), (f"antonym={other}/rows.jsonl",)):
        name = "rows" if len(data) == 2 else "antonym"
        with pytest.raises(UsageError, match=f"the name '{name}' is taken"):
            Sources(data=data).select(None, None)
