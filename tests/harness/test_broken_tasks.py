"""A task that breaks between its documents and its numbers: one line, the others kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from reports.record import load_all

UTILS = """
def text(doc):
    return doc["missing"] if doc["n"] == 3 and doc["part"] == "shown" else doc["question"]


def target(doc):
    if doc["n"] == 22:
        raise RuntimeError("no answer")
    return doc["answer"]


def divide(items):
    return 1 / 0


def alone(items):
    if len(items) < 4:
        raise ValueError("too few")
    return sum(items) / len(items)


def several(doc, results):
    return {"exact_match": results[0].nothing}
"""
WHOLE = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}
training_split: train
test_split: test
output_type: generate_until
generation_kwargs: {{until: ["."], max_gen_toks: 3}}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""
BROKEN = {
    "an aggregation": ("aggregation: mean", "aggregation: !function utils.divide", "by zero"),
    "an aggregation without one document": (
        "aggregation: mean", "aggregation: !function utils.alone", "too few",
    ),
    "a filter": (
        "metric_list:",
        "filter_list: [{name: f, filter: [{function: regex, regex_pattern: '(['},"
        " {function: take_first}]}]\nmetric_list:",
        "unterminated character set",
    ),
    "answers": ('"{{answer}}"', "!function utils.target", "no answer"),
    "scoring": (
        "metric_list:", "process_results: !function utils.several\nmetric_list:", "no attribute",
    ),
    "demonstrations": (
        "metric_list:", "fewshot_config: {doc_to_text: '{{nowhere.such}}'}\nmetric_list:",
        "'nowhere' is undefined",
    ),
}  # fmt: skip


def documents(part: str, start: int, n: int) -> str:
    rows = [
        {"question": f"q{i}:", "answer": f"a{i}", "n": i, "part": part}
        for i in range(start, start + n)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("what", BROKEN)
def test_it_is_said_in_one_line_and_the_others_are_measured(
    what: str, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "tasks", tmp_path / "out"
    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    (folder / "train.jsonl").write_text(documents("shown", 0, 8))
    (folder / "test.jsonl").write_text(documents("test", 20, 4))
    old, new, said = BROKEN[what]
    whole = WHOLE.format(name="whole", folder=folder)
    (folder / "whole.yaml").write_text(whole)
    (folder / "broken.yaml").write_text(
        whole.replace("task: whole", "task: broken").replace(old, new)
    )
    arm = "few_shot" if what == "demonstrations" else "zero_shot"
    status = main(
        [
            "compare", "-M", "hf", "-a", f"pretrained={checkpoint},dtype=float32", "--device",
            "cpu", "--include_path", str(folder), "--tasks", "broken,whole", "--arms", arm,
            "-o", str(out),
        ]
    )  # fmt: skip
    shown = capfd.readouterr().err
    assert status == 2
    assert "Traceback" not in shown
    (line,) = [text for text in shown.splitlines() if text.startswith("steergauge: ")]
    assert "broken" in line
    assert said in line
    assert [record.spec["task"] for record in load_all(out)] == ["whole"]


def test_the_place_in_the_users_file_is_named(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    (folder / "train.jsonl").write_text(documents("shown", 0, 8))
    (folder / "test.jsonl").write_text(documents("test", 20, 4))
    text = WHOLE.format(name="worded", folder=folder)
    text = text.replace('"{{question}}"', "!function utils.text")
    (folder / "worded.yaml").write_text(text)
    given = ["-a", f"pretrained={checkpoint}", "--device", "cpu", "--include_path", str(folder)]
    more = ["--tasks", "worded", "--arms", "zero_shot", "-o", str(tmp_path / "out")]
    assert main(["compare", "-M", "hf", *given, *more]) == 2
    assert f"task worded: {folder / 'utils.py'} line 3: KeyError: 'missing'" in (
        capfd.readouterr().err
    )
