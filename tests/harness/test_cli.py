"""The command line: what it does, and how it says no."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.cli import main
from harness.commands.values import key_values
from harness.comparing import cells
from harness.measuring.spec import RunSpec
from harness.tuning.chosen import Tuner
from harness.tuning.trials import Trials
from reports.record import load_all

PAIRS = [{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]
ARMS = "zero_shot,few_shot,fv,icv,random_vector"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps(PAIRS))
    return file


def hf(checkpoint: Path) -> list[str]:
    return ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]


def compare(checkpoint: Path, pairs: Path, out: Path, *more: str) -> int:
    few = ["--arms", ARMS, "--budget", "2", "--limit", "3"]
    return main(["compare", *hf(checkpoint), "--data", str(pairs), "-o", str(out), *few, *more])


def test_compare_measures_every_arm_and_writes_the_report(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert compare(checkpoint, pairs, out) == 0
    arms = {record.arm for record in load_all(out)}
    assert arms == {
        "zero_shot", "few_shot", "fv", "icv", "random_vector:fv", "random_vector:icv",
    }  # fmt: skip
    for name in ("report.md", "report.html", "report.csv", "report.tex"):
        assert (out / name).read_text(encoding="utf-8").strip()
    shown = capsys.readouterr().out
    assert "random_vector:icv" in shown
    assert str(out / "report.html") in shown


def test_an_interrupted_run_continues_where_it_stopped(
    checkpoint: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert compare(checkpoint, pairs, whole) == 0
    measured: list[str] = []
    evaluate = cells.evaluate

    def interrupted(tuner: Tuner, specs: list[RunSpec]) -> Any:
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.extend(spec.run_id for spec in specs)
        return evaluate(tuner, specs)

    monkeypatch.setattr(cells, "evaluate", interrupted)
    assert compare(checkpoint, pairs, parts) == 130
    assert {record.run_id for record in load_all(parts)} == set(measured)
    measured[:] = ["none"] * 4  # not interrupted again, and counted from here
    assert compare(checkpoint, pairs, parts) == 0
    first = {r.run_id: r for r in load_all(whole)}
    second = {r.run_id: r for r in load_all(parts)}
    assert len(measured) == 4 + len(first) - 3
    assert first.keys() == second.keys()
    for run_id, record in first.items():
        assert record.samples == second[run_id].samples
        assert record.metrics == second[run_id].metrics


def test_an_interrupted_search_loses_no_other(
    checkpoint: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    search = Trials.search

    def interrupted(trials: Trials, *asked: Any) -> Any:
        if len(searched) == 1:
            raise KeyboardInterrupt
        searched.append(trials.method)
        return search(trials, *asked)

    monkeypatch.setattr(Trials, "search", interrupted)
    assert compare(checkpoint, pairs, tmp_path) == 130
    first = searched.pop()
    (kept,) = (tmp_path / "searches").glob("*.json")
    assert compare(checkpoint, pairs, tmp_path) == 0
    assert len(searched) == 1
    assert first not in searched
    kept.write_text(kept.read_text()[:40])  # a damaged file is searched anew
    shutil.rmtree(tmp_path / "records")
    searched.clear()
    assert compare(checkpoint, pairs, tmp_path) == 0
    assert searched == [first]


def test_tasks_measured_together_are_measured_alike(
    checkpoint: Path, pairs: Path, tmp_path: Path
) -> None:
    other = tmp_path / "others.json"
    content = json.loads(pairs.read_text())
    other.write_text(
        json.dumps([{"input": p["input"] * 2, "output": p["output"]} for p in content])
    )
    assert compare(checkpoint, pairs, tmp_path / "both", "--data", str(other)) == 0
    assert compare(checkpoint, pairs, tmp_path / "one") == 0
    assert compare(checkpoint, other, tmp_path / "two") == 0
    together = {record.run_id: record for record in load_all(tmp_path / "both")}
    alone = [r for name in ("one", "two") for r in load_all(tmp_path / name)]
    assert together.keys() == {record.run_id for record in alone}
    for record in alone:
        found = together[record.run_id]
        assert found.spec == record.spec
        assert (found.proof is None) == (record.proof is None)
        for name, metric in record.metrics.items():
            assert found.metrics[name].value == pytest.approx(metric.value, abs=1e-5)


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail in one line with exit code 2; return the line."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    progress = ("loading:", "tuning:", "measuring:")
    said = capsys.readouterr().err.strip().splitlines()
    error = "\n".join(line for line in said if not line.startswith(progress))
    assert code == 2
    assert len(error.splitlines()) == 1, error
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("compare --model gpt3", "no model type 'gpt3'"),
        ("compare --model hf", "pretrained=MODEL"),
        ("compare --model hf -a pretrained=/nowhere/at/all", "no such folder"),
        ("compare --tasks antonim", "Did you mean 'antonym'"),
        ("compare --suite prec", "Suites: behavior_shift, precision"),
        ("compare --arms fvv", "Did you mean 'fv'"),
        ("compare --arms random_vector", "needs a method beside it"),
        ("compare --budget 0", "whole number from 1"),
        ("compare --seeds one", "a list such as 0,1,2"),
        ("compare --data nowhere.json", "no such file"),
        ("compare --include_path nowhere", "no such folder"),
        ("compare --include_method nowhere.py", "not a Python file"),
        ("compare -a pretrained", "is not KEY=VALUE"),
        ("fit --method fvv -t antonym -o v", "Did you mean 'fv'"),
        ("fit --method fv -t antonym --settings layr=1 -o v", "Did you mean 'layer'"),
        ("fit --method fv --suite precision -o v", "one task, got 18"),
        ("run --coefficient 2", "needs a --vector"),
        ("report nowhere", "no records"),
        ("gate nowhere --baseline b.json", "no records"),
        ("gate nowhere", "required: --baseline"),
        ("validate nowhere", "no such folder"),
        ("nonsense", "invalid choice: 'nonsense'"),
        ("", "required: COMMAND"),
    ],
)
def test_mistakes_are_said_in_one_line(
    arguments: str, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert expected in mistake(capsys, *arguments.split())
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "the file is empty"),
        ('{"input": "a", "output": "b"}\n{"input": "c"}', "line 2"),
        ('[{"input": "a", "output": ', "line 1"),
        (json.dumps(PAIRS[:5]), "expected more than 10 for 10 shots"),
    ],
)
def test_bad_pairs_files(
    content: str, expected: str, checkpoint: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "pairs.json"
    file.write_text(content)
    error = mistake(
        capsys, "compare", *hf(checkpoint), "--data", str(file), "-o", str(tmp_path / "out")
    )
    assert expected in error
    assert not list(tmp_path.rglob("record.json"))


def test_a_layer_that_the_model_does_not_have(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = mistake(
        capsys, "fit", *hf(checkpoint), "--data", str(pairs), "--method", "fv", "--settings",
        "layer=99", "-o", str(tmp_path / "v"),
    )  # fmt: skip
    assert "layer 99, expected 0 to 2" in error
    assert not list((tmp_path / "v").iterdir())


def test_a_vector_of_another_model(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.harness.tiny import save_checkpoint

    wider = save_checkpoint(tmp_path / "wider", width=48)
    vector = str(tmp_path / "vector")
    data = ["--data", str(pairs)]
    assert main(["fit", *hf(wider), *data, "--method", "icv", "-o", vector]) == 0
    capsys.readouterr()
    error = mistake(capsys, "run", *hf(checkpoint), *data, "--vector", vector)
    assert "48" in error
    assert "32" in error


def test_a_saved_vector_measures_as_it_did_when_it_was_fitted(
    checkpoint: Path, pairs: Path, tmp_path: Path
) -> None:
    vector, data = str(tmp_path / "vector"), ["--data", str(pairs)]
    settings = ["--settings", "layer=1,coefficient=3"]
    assert main(["fit", *hf(checkpoint), *data, "--method", "fv", *settings, "-o", vector]) == 0
    for name, more in (("steered", []), ("zero", ["--coefficient", "0"])):
        out = ["-o", str(tmp_path / name)]
        assert main(["run", *hf(checkpoint), *data, "--vector", vector, *more, *out]) == 0
    assert main(["run", *hf(checkpoint), *data, "-o", str(tmp_path / "plain")]) == 0
    found = {
        name: json.loads((tmp_path / name / "results.json").read_text())["tiny-pairs"]
        for name in ("steered", "zero", "plain")
    }
    assert found["zero"]["metrics"] == found["plain"]["metrics"]
    assert found["steered"]["metrics"] != found["plain"]["metrics"]
    assert found["steered"]["proof"]["max_logit_change"] > 0


def test_a_model_with_nan_weights_is_refused_before_any_work(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    broken = tmp_path / "broken"
    model.save_pretrained(broken)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (broken / name).write_bytes((checkpoint / name).read_bytes())
    out = tmp_path / "out"
    error = mistake(capsys, "compare", *hf(broken), "--data", str(pairs), "-o", str(out))
    assert "NaN" in error
    assert not list(out.rglob("record.json"))


def test_a_model_without_a_pad_token_is_measured(
    checkpoint: Path, pairs: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in checkpoint.iterdir():
        (bare / file.name).write_bytes(file.read_bytes())
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    assert compare(bare, pairs, tmp_path / "out", "--arms", "zero_shot,fv") == 0


def test_a_folder_that_cannot_be_written(
    checkpoint: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = mistake(capsys, "compare", *hf(checkpoint), "--data", str(pairs), "-o", "/proc/out")
    assert "cannot be written" in error


def test_a_full_disk_leaves_no_half_written_record(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reports.files.os.fsync", full)
    out = tmp_path / "out"
    assert compare(checkpoint, pairs, out, "--arms", "zero_shot") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"steergauge: {out}")
    assert "plan.json: No space left on device; the disk is full: make room" in error
    assert not [path for path in (out / "records").rglob("*") if path.is_file()]


def test_key_values() -> None:
    assert key_values("pretrained=a/b,dtype=float32,layer=3,bos=true,heads=[[1,2],[3,4]]") == {
        "pretrained": "a/b", "dtype": "float32", "layer": 3, "bos": True, "heads": [[1, 2], [3, 4]],
    }  # fmt: skip
    assert key_values('{"until": ["\\n"]}') == {"until": ["\n"]}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from harness.cli import parser; from harness.cli import COMMANDS\n"
        "for name in COMMANDS:\n"
        "    name == 'lm-eval' or parser(name)\n"
        "heavy = {'torch', 'transformers', 'pandas', 'datasets', 'matplotlib', 'sklearn'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
