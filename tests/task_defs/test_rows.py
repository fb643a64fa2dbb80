"""A user's own files: fields by name, tables, several answers, choices, style data."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import task_defs
from harness.measuring import local_data
from task_defs.behavior_shift.utils import texts
from task_defs.choices.utils import process_results
from task_defs.files import Unreadable, read_text
from task_defs.pairs import rows_of
from task_defs.rows import Row, fields_of, read_rows

PAIRS = [(f"ask {i}", f"reply {i}") for i in range(40)]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "fields", "expected"),
    [
        ("a.csv", 'input,output\n"a, b","say ""so"""\nc,d\n', None,
         [Row("a, b", ('say "so"',), ()), Row("c", ("d",), ())]),
        ("a.csv", "id,output,input\n1,b,a\n", None, [Row("a", ("b",), ())]),
        ("a.csv", "question,answer\r\na,b\r\n\r\nc,d\r\n", None,
         [Row("a", ("b",), ()), Row("c", ("d",), ())]),
        ("a.tsv", "toxic\tneutral1\tneutral2\nx \" y\tz\t\nu\tv\tw\n", None,
         [Row('x " y', ("z",), ()), Row("u", ("v", "w"), ())]),
        ("a.tsv", "toxic\tn1\tn2\tid\nx\ty\tz\t7\n", "toxic,n*", [Row("x", ("y", "z"), ())]),
        ("a.tsv", 'q\ta\n"x\ty"\tz\n', "q,a", [Row("x\ty", ("z",), ())]),
        ("reference.0", "bad\tgood\nworse \tbetter\n", None,
         [Row("bad", ("good",), ()), Row("worse", ("better",), ())]),
        ("a.csv", "a,b,c\nd,e,f\n", "3,1", [Row("c", ("a",), ()), Row("f", ("d",), ())]),
        ("a.jsonl", '{"q": "a", "y": " b", "n": " c"}\n', "q,y,n", [Row("a", ("b",), ("c",))]),
        ("a.json", '[{"q": "a", "y": ["b", "c", "b"]}]', "q,y", [Row("a", ("b", "c"), ())]),
        ("a.csv", "q;a\n\"x; y, z\";b, c\n", "q,a", [Row("x; y, z", ("b, c",), ())]),
        ("a.csv", "q, or not|a\nx|b, c, d\n", "q\x2a,a", [Row("x", ("b, c, d",), ())]),
        ("a.csv", "q\ta\nx, y\tz\n", None, [Row("x, y", ("z",), ())]),
        ("a.csv", "\ufeffsep=;\r\nq;a\r\n\"x\n y\";z\r\n", None, [Row("x\n y", ("z",), ())]),
        ("a.csv", " q ,a;b\nx;y,z\n", "q,a;b", [Row("x;y", ("z",), ())]),
        ("a.json", '{"name": "n", "examples": [{"q": "a", "y": "b"}]}', "q,y",
         [Row("a", ("b",), ())]),
        ("a.json", "\ufeff" + '{"input": "a\\tb", "output": "\u2028c"}', None,
         [Row("a\tb", ("c",), ())]),
    ],
)  # fmt: skip
def test_what_is_read(
    tmp_path: Path, name: str, text: str, fields: str | None, expected: list[Row]
) -> None:
    assert list(read_rows(write(tmp_path / name, text), fields)) == expected


@pytest.mark.parametrize(
    ("name", "text", "fields", "said"),
    [
        ("a.csv", "one,two,other\na,b,c\n", None, "columns one, two, other; say which to take"),
        ("a.csv", "input,output\na\n", None, "line 2: 1 cells, expected 2"),
        ("a.csv", "input,output\na,\n", None, "line 2: expected an object with two texts"),
        ("a.csv", "q,a\nx,y\n", "q,b", "line 2: expected texts in q, b"),
        ("a.jsonl", '{"q": "a", "y": "b"}', "q,y,n", "line 1: expected texts in q, y, n"),
        ("a.jsonl", '{"q": "a", "y": 3}', "q,y", "line 1: expected texts"),
        ("a.jsonl", "[1]", "q,y", "item 1: expected texts"),
        ("a.csv", "q;a\nx;y;z\n", "q,a", "line 2: 3 cells, expected 2"),
        ("a.csv", "q;a\nx;y,z\nu;v;w\n", "q,a", "line 3: 3 cells, expected 2"),
        ("a.jsonl", '{"q": "a", "y": "b"}', None, "or say which to take: FILE:INPUT,OUTPUT"),
        ("a.json", '{"one": [{"q": "a"}], "two": [{"q": "b"}]}', "q,y", "line 1: expected texts"),
        ("a.jsonl", "{}", "q", "fields 'q': expected INPUT,OUTPUT"),
        ("a.jsonl", "{}", "a,b,c,d", "expected INPUT,OUTPUT or INPUT,OUTPUT,WRONG"),
        ("a.jsonl", '{"input": "a", "output": "b", "input": "c"}', None, "'input' stands twice"),
        ("a.json", '[{"q": "a", "y": {"z": 1, "z": 2}}]', "q,y", "'z' stands twice"),
        ("a.csv", "input,output,input\na,b,c\n", None, "'input' stands twice"),
        ("a.csv", "", None, "the file is empty"),
        ("a.csv", "input,output\na,\"b\n" + "x" * 200_000, None, "not a table"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(
    tmp_path: Path, name: str, text: str, fields: str | None, said: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        read_rows(write(tmp_path / name, text), fields)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.json.gz", "a.parquet"])
def test_compressed_and_parquet_files_hold_what_plain_ones_do(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame(PAIRS, columns=["question", "answer"])
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif ".csv" in name:
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=".jsonl" in name)
    plain = write(tmp_path / "plain.csv", frame.to_csv(index=False))
    assert read_rows(path, "question,answer") == read_rows(plain, "question,answer")
    assert task_defs.given(str(path)).name == "a"
    if not name.endswith("parquet"):
        assert list(local_data.read(path)[""]) == list(local_data.read(plain)[""])


def test_files_that_are_no_text(tmp_path: Path) -> None:
    endless = gzip.compress(bytes(2**20))
    for name, content, said in (
        ("a.xlsx", b"PK\x03\x04\x00\xff", "not a text file; expected objects with q,a, as JSON"),
        ("a.parquet", b"PAR1 and no more", "cannot be read as parquet"),
        ("a.jsonl.gz", b"{}", "not a gzip file"),
        ("a.jsonl.gz", endless[:-20], "not a whole gzip file"),
        ("a.csv", "q,a\n\u00e9,b".encode("utf-16"), "not UTF-8 text; save it as UTF-8"),
        ("a.csv", "q,a\n\u00e9,b".encode("latin-1"), "line 2: not UTF-8 text; save it as UTF-8"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(task_defs.BadPairs) as caught:
            rows_of(tmp_path / name, "q,a")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "b.txt.gz").write_bytes(endless + endless)
    assert len(read_text(tmp_path / "b.txt.gz")) == 2**21
    with pytest.raises(Unreadable, match="more than 1048576 bytes when decompressed"):
        read_text(tmp_path / "b.txt.gz", 2**20)
    with pytest.raises(task_defs.BadPairs, match="a folder, expected a file"):
        task_defs.given(str(tmp_path))


def test_names_and_fields_of_what_is_given(tmp_path: Path) -> None:
    odd = write(tmp_path / "a:b.json", "[]")
    file = write(tmp_path / "c.json", "[]")
    assert fields_of(str(odd)) == (odd, None)
    assert fields_of(f"{file}:q,a") == (file, "q,a")
    assert task_defs.given(f"mine={file}:q,a") == task_defs.Given("mine", file, "q,a")
    assert task_defs.given(str(file)).name == "c"
    for text in (f"{file}x", "nowhere.csv:q,a"):
        with pytest.raises(task_defs.BadPairs, match="no such file"):
            task_defs.given(text)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "input,output\na,b\n")
    assert read_rows(path) is read_rows(path)
    write(path, "input,output\na,longer\n")
    assert read_rows(path)[0].outputs == ("longer",)


def test_a_table_is_a_task_as_json_is(tmp_path: Path) -> None:
    rows = [{"input": x, "output": y} for x, y in PAIRS]
    one = write(tmp_path / "one.json", json.dumps(rows))
    lines = "".join(f"{y},{x}\n" for x, y in PAIRS)
    two = write(tmp_path / "two.csv", f"answer,question\n{lines}")
    for split in ("train", "validation", "test"):
        found = task_defs.pairs_file(two, split, fields="question,answer")
        assert found.pairs == task_defs.pairs_file(one, split).pairs


def ab(folder: Path) -> Path:
    rows = [{"question": x, "yes": " Yes", "no": " No"} for x, _ in PAIRS]
    return write(folder / "ab.jsonl", "\n".join(map(json.dumps, rows)))


def test_choices_hide_the_wanted_answer(tmp_path: Path) -> None:
    content = task_defs.pairs_task(ab(tmp_path), fields="question,yes,no")
    documents = [
        document
        for part in content["custom_dataset"](**content["dataset_kwargs"]).values()
        for document in part
    ]
    assert len(documents) == 40
    assert all(d["choices"][d["label"]] == d["output"] == "Yes" for d in documents)
    assert {document["label"] for document in documents} == {0, 1}
    assert content["metadata"]["headline"] == "matching"


def test_three_lines_of_yaml_for_choices_and_for_style(tmp_path: Path) -> None:
    ab(tmp_path)
    lines = [json.dumps({"input": x, "output": [y, f"well {y}"]}) for x, y in PAIRS]
    write(tmp_path / "style.json", "\n".join(lines))
    write(
        tmp_path / "ab.yaml",
        "task: mine\nclass: !function task_defs.task.PairsTask\n"
        "dataset_kwargs: {file: ab.jsonl, fields: 'question,yes,no'}\n",
    )
    path = tmp_path / "style.json"
    write(
        tmp_path / "style.yaml",
        "task: style\nclass: !function task_defs.task.BehaviourTask\n"
        f"dataset_kwargs: {{file: {path}}}\n",
    )
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    choices = manager.load(["mine"])["tasks"]["mine"]
    document = choices.test_docs()[0]
    assert choices.doc_to_text(document) == f"{document['input']}\nAnswer:"
    (first, second) = choices.construct_requests(document, "x", metadata=("mine", 0, 1))
    assert {first.args[1], second.args[1]} == {" Yes", " No"}
    style = manager.load(["style"])["tasks"]["style"]
    document = style.test_docs()[0]
    assert document["references"] == [document["output"], f"well {document['output']}"]
    scores: Any = style.process_results(document, [f"well {document['output']}"])
    assert scores["exact"] == 1.0
    assert scores["content"] == pytest.approx(1.0)
    assert style.config.metadata["suite"] == "behavior_shift"


def test_the_share_of_the_wanted_answer_by_hand() -> None:
    found = process_results({"label": 1}, [(math.log(0.02), False), (math.log(0.06), True)])
    assert found == {"matching": pytest.approx(0.75), "acc": 1.0}
    found = process_results({"label": 0}, [(-2000.0, False), (-1000.0, False)])
    assert found == {"matching": 0.0, "acc": 0.0}
    assert process_results({"label": 0}, [(-1.0, False), (-1.0, False)])["acc"] == 0.0
    nothing = process_results({"label": 0}, [(-math.inf, False), (-math.inf, False)])
    assert math.isnan(nothing["matching"])


def test_style_data_of_any_form_is_read_alike(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"input": x, "output": y}) for x, y in PAIRS)
    plain = write(tmp_path / "plain.jsonl", lines)
    table = write(tmp_path / "table.tsv", "bad\tgood\n" + "".join(f"{x}\t{y}\n" for x, y in PAIRS))
    assert texts.read(str(plain)) == texts.read(str(table)) == PAIRS
    assert texts.read(f"{table}:good,bad") == [(y, x) for x, y in PAIRS]
    bad = write(tmp_path / "bad.tsv", "a\tb\nword\t...\n")
    with pytest.raises(texts.BadBehaviour, match="line 2: expected texts in a, b"):
        texts.read(str(bad))


QUOTES = {
    "one that is never closed": ('plain\t1\n"begun\t2\nlast\t3\n', ["plain", '"begun', "last"]),
    "one that ends another cell": (
        'plain\t1\n"begun\t2\nmiddle\t3\nends"\t4\n', ["plain", '"begun', "middle", 'ends"'],
    ),
    "a whole cell beside a begun one": (
        '"whole"\t1\n"begun\t2\nends"\t3\n', ['"whole"', '"begun', 'ends"'],
    ),
    "two in a row": ('""begun\t1\nlast\t2\n', ['""begun', "last"]),
    "real ones": ('"say ""hi"""\t1\n"last"\t2\n', ['say "hi"', "last"]),
    "a tab in a cell": ('"with\ttab"\t1\nlast\t2\n', ["with\ttab", "last"]),
    "lines in a cell": ('"two\nlines"\t1\nlast\t2\n', ["two\nlines", "last"]),
}  # fmt: skip


@pytest.mark.parametrize("what", QUOTES)
@pytest.mark.parametrize("kind", [".tsv", ".TSV"])
def test_a_quote_between_tabs_swallows_no_line(what: str, kind: str, tmp_path: Path) -> None:
    """Both readers of tables, that of pairs and that of any task's documents, see every line."""
    text, expected = QUOTES[what]
    path = tmp_path / f"quotes{kind}"
    path.write_text(f"input\toutput\n{text}", encoding="utf-8")
    assert [row.input for row in read_rows(path)] == expected
    assert local_data.read(path)[""]["input"] == expected
