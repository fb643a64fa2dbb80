"""Cells: what fails is said and does not keep the rest; status and forecasts from disk alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import steering.method
from harness.cli import main
from harness.comparing import on_ray
from harness.comparing.ledger import CELLS, PLAN, Ledger
from reports import Record
from reports.record import load_all

BROKEN = """
from dataclasses import dataclass
from steering import SteeringMethod, register

@register
@dataclass(frozen=True, kw_only=True)
class Broken(SteeringMethod):
    name = "broken"
    summary = "cannot be fitted"

    @classmethod
    def search_space(cls, shape):
        return {}

    def fit(self, model, tokenizer, examples):
        raise ValueError("no vector today")
"""


@pytest.fixture
def command(checkpoint: Path, tmp_path: Path) -> list[str]:
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps([{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]))
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    few = ["--budget", "2", "--limit", "3", "-o", str(tmp_path / "out")]
    return ["compare", *model, "--data", str(file), *few]


def test_a_cell_that_fails_is_said_and_the_others_go_on(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steering.method, "_registered", dict(steering.method._registered))
    method = tmp_path / "broken_method.py"
    method.write_text(BROKEN)
    more = ["--include_method", str(method), "--arms", "zero_shot,broken,icv"]
    assert main([*command, *more]) == 2
    assert "no vector today" in capsys.readouterr().err.splitlines()[-1]
    assert {record.arm for record in load_all(tmp_path / "out")} == {"zero_shot", "icv"}
    assert "no vector today" in (tmp_path / "out" / "report.md").read_text()
    assert main(["status", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "failed: measuring broken, seed 0" in shown
    assert "2 of 3" in shown


def test_a_pass_that_ended_between_two_records_is_made_whole_again(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three short and three long questions alternate in batches of three; alone they make one."""
    for name, word in (("tiny", "a"), ("other", "b")):
        pairs = [{"input": word * i, "output": "yes"} for i in range(1, 41)]
        (tmp_path / f"{name}-pairs.json").write_text(json.dumps(pairs))
    other = ["--data", str(tmp_path / "other-pairs.json")]
    more = [*other, "--arms", "zero_shot,icv", "--batch_size", "3"]
    whole = [*command, *more, "-o", str(tmp_path / "whole")]
    assert main(whole) == 0
    saved, save = list[str](), Record.save

    def once(record: Record, root: Path) -> Path:
        if record.arm == "icv" and "icv" in saved:
            raise KeyboardInterrupt
        saved.append(record.arm)
        return save(record, root)

    monkeypatch.setattr(Record, "save", once)
    assert main([*command, *more]) == 130
    monkeypatch.setattr(Record, "save", save)
    assert main([*command, *more]) == 0
    assert main([*command, *more]) == 0
    first, second = (
        {r.run_id: (r.proof, r.metrics, r.samples) for r in load_all(tmp_path / name)}
        for name in ("whole", "out")
    )
    assert first == second
    assert {proof["calls"] for proof, _, _ in first.values() if proof} == {3}  # the proof's own


def test_status_knows_what_runs_and_what_is_left(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--arms", "zero_shot,icv"]) == 0
    out = tmp_path / "out"
    ledger = Ledger(out)
    assert [cell["state"] for cell in ledger.state()] == ["done"] * 3
    plan = json.loads((out / PLAN).read_text())["cells"]
    (run,) = plan[1]["runs"]
    (out / "records" / run / "record.json").unlink()
    assert [cell["state"] for cell in ledger.state()] == ["done", "left", "done"]
    mark = out / CELLS / f"{plan[1]['id']}.running"
    mark.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "today"}))
    assert [cell["state"] for cell in ledger.state()] == ["done", "running", "done"]
    mark.write_text("{")  # half a file says nothing
    assert [cell["state"] for cell in ledger.state()] == ["done", "left", "done"]


def test_a_forecast_needs_no_model(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*command, "--arms", "zero_shot,icv,random_vector:icv", "--seeds", "0,1"]
    assert main([*asked, "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "tuning: 2 cells (a task and a seed each), 2 searches of 2" in shown
    assert "measuring: 6 cells (an arm and a seed each), 6 records" in shown
    assert "nothing to estimate from" in shown
    assert not (tmp_path / "out").exists()
    assert main(asked) == 0
    capsys.readouterr()
    assert main([*asked, "--dry_run"]) == 0
    assert "as in 6 records" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--executor", "slurm"], "expected local, ray or ray://HOST:PORT"),
        (["--workers", "2"], "belong to --executor ray"),
        (["--executor", "ray", "--resources", "gpu=many"], "not a number"),
    ],
)
def test_options_that_make_no_sense(
    command: list[str], capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert main([*command, *options]) == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_without_ray_one_line_says_how(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "find_spec", lambda _: None)
    assert main([*command, "--executor", "ray"]) == 2
    assert "pip install steergauge[ray]" in capsys.readouterr().err.splitlines()[-1]


def test_status_of_a_folder_without_a_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert PLAN in capsys.readouterr().err
    (tmp_path / PLAN).write_text('{"cells": 5}')
    assert main(["status", str(tmp_path)]) == 2
    assert "not a plan" in capsys.readouterr().err
