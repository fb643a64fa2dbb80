"""Documents of one's own in place of the hub: every kind of file, and what splits they make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from harness.errors import UsageError
from harness.measuring.library import located
from harness.measuring.local_data import read, relocated

ROWS = [
    {"question": "one, two", "answer": "None", "label": 0},
    {"question": "a\tb", "answer": "x y", "label": 1},
    {"question": 'said "so"\nand left', "answer": "", "label": 1},
]


def table(sign: str) -> Callable[[Path], None]:
    return lambda path: pd.DataFrame(ROWS).to_csv(path, sep=sign, index=False)


WRITERS: dict[str, Callable[[Path], None]] = {
    "list.json": lambda path: _write(path, json.dumps(ROWS)),
    "held.json": lambda path: _write(path, json.dumps({"canary": "x", "examples": ROWS})),
    "lines.jsonl": lambda path: _write(path, "".join(json.dumps(row) + "\n" for row in ROWS)),
    "marked.jsonl": lambda path: _write(
        path, "\ufeff" + "\n\n".join(json.dumps(row) for row in ROWS)
    ),
    "table.csv": table(","),
    "table.tsv": table("\t"),
    "table.parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path, index=False),
    "saved": lambda path: Dataset.from_list(ROWS).save_to_disk(path),
}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert {role: list(part) for role, part in read(tmp_path / name).items()} == {"": ROWS}


def test_plain_text_has_a_document_in_each_line(tmp_path: Path) -> None:
    """As the loader of datasets has it, but for empty lines and for what ends no line."""
    import datasets

    _write(tmp_path / "book.txt", "\ufeffone two\n\n three \r\n  \nfour\u2028five\x0csix\n")
    (part,) = read(tmp_path / "book.txt").values()
    assert list(part["text"]) == ["one two", " three ", "four\u2028five\x0csix"]
    _write(tmp_path / "plain.txt", "one two\nthree\n four")
    loaded = datasets.load_dataset(
        "text", data_files=str(tmp_path / "plain.txt"), split="train", cache_dir=str(tmp_path / "c")
    )
    assert list(read(tmp_path / "plain.txt")[""]) == list(loaded)


@pytest.mark.parametrize(
    ("query", "fields"),
    [("{{page}}", {"text", "page"}), ("{{text}}", {"text"}), (None, {"text"}),
     ("{{a}} {{b}}", {"text"})],
)  # fmt: skip
def test_plain_text_has_the_name_that_a_task_uses(
    tmp_path: Path, query: str | None, fields: set[str]
) -> None:
    _write(tmp_path / "test.txt", "one\ntwo\n")
    config = {"task": "t", "test_split": "test", "doc_to_decontamination_query": query}
    found = relocated(config, read(tmp_path))["custom_dataset"]()["test"]
    assert set(found.column_names) == fields
    assert all(list(found[name]) == ["one", "two"] for name in fields)


@pytest.mark.parametrize("sign", [",", ";", "|", "\t"])
def test_tables_whatever_stands_between_cells(tmp_path: Path, sign: str) -> None:
    rows = [{"q": f"what; is, {i} | really\n?", "label": i} for i in range(3)]
    pd.DataFrame(rows).to_csv(tmp_path / "own.csv", sep=sign, index=False)
    assert list(read(tmp_path / "own.csv")[""]) == rows


def test_a_folder_holds_a_file_for_each_split(tmp_path: Path) -> None:
    for name in ("train-400.jsonl", "dev.jsonl", "test.jsonl"):
        _write(tmp_path / name, json.dumps({"name": name}))
    (tmp_path / "LICENSE").write_text("free")
    found = {role: list(part) for role, part in read(tmp_path).items()}
    assert found == {
        "train": [{"name": "train-400.jsonl"}],
        "validation": [{"name": "dev.jsonl"}],
        "test": [{"name": "test.jsonl"}],
    }


def test_saved_splits_keep_their_roles(tmp_path: Path) -> None:
    splits = {name: Dataset.from_list(ROWS[:n]) for n, name in enumerate(("valid", "test"), 1)}
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert {role: len(part) for role, part in read(tmp_path / "saved").items()} == {
        "validation": 1,
        "test": 2,
    }


def test_labelled_texts_become_choices_and_labels(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "targets": {"yes": 1, "no": 0}, "same": {"a": 0, "b": 1}},
        {"question": "r", "targets": {"never": 0, "so": 1, "no": 0}, "same": {"a": 1, "b": 1}},
    ]
    _write(tmp_path / "own.json", json.dumps(rows))
    first, second = read(tmp_path / "own.json")[""]
    assert first["targets"] == {"choices": ["yes", "no"], "labels": [1, 0]}
    assert second["targets"] == {"choices": ["never", "so", "no"], "labels": [0, 1, 0]}
    assert second["same"] == {"a": 1, "b": 1}, "columns of their own stay"


@pytest.mark.parametrize(
    ("config", "roles", "expected"),
    [
        ({"test_split": "test"}, [""], {"test_split": "test"}),
        ({"validation_split": "val"}, [""], {"validation_split": "val"}),
        ({"training_split": "tr", "test_split": "te", "fewshot_split": "tr"}, ["train", "test"],
         {"training_split": "tr", "test_split": "te", "fewshot_split": "tr"}),
        ({"training_split": "tr", "test_split": "te", "fewshot_split": "tr"}, [""],
         {"test_split": "te", "fewshot_split": "te"}),
        ({"training_split": "tr", "validation_split": "va", "test_split": "te"}, ["validation"],
         {"validation_split": "va"}),
        ({"test_split": "te"}, ["train", "validation", "test"],
         {"training_split": "train", "validation_split": "validation", "test_split": "te"}),
    ],
)  # fmt: skip
def test_splits_that_are_not_given_are_gone(
    config: dict[str, Any], roles: list[str], expected: dict[str, str]
) -> None:
    parts = {role: Dataset.from_list([{"role": role}]) for role in roles}
    found = relocated({"task": "own", **config}, parts)
    keys = ("training_split", "validation_split", "test_split", "fewshot_split")
    assert {key: found[key] for key in keys if found.get(key)} == expected
    held = found["custom_dataset"](version=1, file="ignored")
    for key, name in expected.items():
        if key != "fewshot_split" and "" not in roles:
            assert held[name][0]["role"] == key.split("_")[0].replace("training", "train")


def test_mistakes_are_said_in_one_line(tmp_path: Path) -> None:
    bad = {
        "list.json": ("[1, 2]", "expected objects"),
        "lines.jsonl": ('{"a": 1}\n{"a": ', "line 2"),
        "mixed.json": ('[{"a": 1}, {"a": "x"}]', "cannot be read"),
        "empty.json": ("", "expected objects"),
        "long.csv": ("a,b\n1,2,3\n4,5,6", "line 2: 3 cells, expected 2"),
        "short.csv": ("a;b\n1;2\n4", "line 3: 1 cells, expected 2"),
        "columns.json": ('{"a": {"0": 1}, "b": {"0": 2}}', "columns; expected rows"),
        "notes.docx": ("text", "unknown kind"),
        "blank.txt": ("\n \n", "expected lines"),
        "short.parquet": ("PAR1", "cannot be read"),
    }
    for name, (text, message) in bad.items():
        _write(tmp_path / name, text)
        with pytest.raises(UsageError, match=message) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="begin with train"):
        read(tmp_path / "folder")
    with pytest.raises(UsageError, match="none that are asked"):
        relocated({"task": "own", "test_split": "t"}, {"train": Dataset.from_list(ROWS)})


@pytest.mark.parametrize("text", ["gsm8k", "=x", "gsm8k=", "gsm8k:half=x", "gsm8k:=x"])
def test_a_dataset_option_that_says_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="expected TASK=PATH"):
        located([text])


def test_dataset_options_by_task_and_role() -> None:
    found = located(["a=x=y.json", "b:train=t.json", "b:test=u.json"])
    assert found == {
        "a": {"": Path("x=y.json")},
        "b": {"train": Path("t.json"), "test": Path("u.json")},
    }
