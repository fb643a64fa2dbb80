"""Files of one's own from the command line: choices, style data, and what is fitted on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import task_defs.rows
from harness.cli import main
from harness.measuring.sources import Sources
from reports.comparison import by_model
from reports.record import load_all


def command(checkpoint: Path, out: Path, *more: str) -> int:
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    return main(["compare", *model, "-o", str(out), "--device", "cpu", "-b", "8", *more])


@pytest.fixture
def ab(tmp_path: Path) -> Path:
    rows = [{"question": f"Is {i} so?", "yes": " Yes", "no": " No"} for i in range(60)]
    path = tmp_path / "ab.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_file_of_choices_is_compared(checkpoint: Path, ab: Path, tmp_path: Path) -> None:
    data = ["--data", f"mine={ab}:question,yes,no", "--arms", "zero_shot,icv", "--budget", "2"]
    assert command(checkpoint, tmp_path / "out", *data) == 0
    records = load_all(tmp_path / "out")
    assert {record.spec["task"] for record in records} == {"mine"}
    for record in records:
        assert record.headline == "matching"
        assert 0 < record.metrics["matching"].value < 1
        assert record.metrics["matching"].n == len(record.samples) == 13


def test_wrong_answers_reach_the_fit(ab: Path) -> None:
    found = Sources(data=(f"{ab}:question,yes,no",))
    examples = found.examples("ab")
    assert {(right, wrong) for _, right, wrong in examples.contrasts} == {(("Yes",), ("No",))}  # type: ignore[attr-defined]
    x, y = examples.pairs[0]
    assert re.fullmatch(r"Is \d+ so\?\nAnswer:", x)
    assert examples.prompt([], x) + examples.target(y) == f"{x} Yes"


def test_style_data_become_a_task_of_the_behaviour_suite(checkpoint: Path, tmp_path: Path) -> None:
    names = [f"thing {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60)]
    lines = "".join(f"bad {name}\tgood {name}\tfine {name}\n" for name in names)
    (tmp_path / "mine.tsv").write_text(f"rude\tkind1\tkind2\n{lines}")
    data = ["--data", str(tmp_path / "mine.tsv"), "--suite", "behavior_shift"]
    arms = ["--arms", "zero_shot", "--judge", "ngrams", "--limit", "4"]
    assert command(checkpoint, tmp_path / "out", *data, *arms) == 0
    (record,) = load_all(tmp_path / "out")
    assert (record.spec["task"], record.spec["suite"]) == ("mine", "behavior_shift")
    assert record.headline == "joint"
    assert {"attribute", "content", "fluency"} <= set(record.metrics)


def test_a_file_to_fit_on_is_not_measured(checkpoint: Path, ab: Path, tmp_path: Path) -> None:
    pairs = [{"input": f"in{i}", "output": f"out{i}"} for i in range(60)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    data = ["--data", str(tmp_path / "pairs.json"), "--fit_on", f"{ab}:question,yes,no"]
    more = ["--arms", "zero_shot,icv", "--budget", "1", "--limit", "4"]
    assert command(checkpoint, tmp_path / "out", *data, *more) == 0
    records = {record.arm: record for record in load_all(tmp_path / "out")}
    assert {record.spec["task"] for record in records.values()} == {"pairs"}
    assert records["icv"].spec["fit_on"].startswith("ab ")
    assert records["zero_shot"].spec["fit_on"] is None
    (comparison,) = by_model(records.values())
    assert comparison.difference("icv", "zero_shot").n == 4


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"input": f"in{i}", "output": f"out{i}"} for i in range(2000)]
    (tmp_path / "many.json").write_text(json.dumps(rows))
    read, inner = [], task_defs.rows.read_text
    monkeypatch.setattr(task_defs.rows, "read_text", lambda path: read.append(path) or inner(path))
    found = Sources(data=(str(tmp_path / "many.json"),))
    (name,) = found.select(None, None)
    for _ in range(3):
        found.metadata(name)
        found.fingerprint(name)
        found.load(name)
        found.load(name, "tuning")
        for split in ("train", "validation", "test"):
            assert found.examples(name, split).pairs
    assert len(read) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nowhere.json", "no such file"),
        ("{file}:question,nothing", "expected texts in question, nothing"),
        ("{file}:question", "expected INPUT,OUTPUT"),
        ("{file}", "expected an object with two texts"),
        ("antonym={file}:question,yes,no", "the name 'antonym' is taken"),
    ],
)
def test_mistakes_are_one_line(
    checkpoint: Path, ab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    data: str, said: str,
) -> None:  # fmt: skip
    given = ["--data", data.format(file=ab), "--arms", "zero_shot"]
    assert command(checkpoint, tmp_path / "out", *given) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error
    assert "Traceback" not in error
