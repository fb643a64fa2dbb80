"""`steergauge convert`, vectors of other projects in `run`, and kept vectors that are damaged."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.cli import main
from steering import Edit, SteeringVector
from tests.harness.tiny import WIDTH

FORMATS = {
    "lm_eval": "v.pt", "gguf": "v.gguf", "glp": "w.gguf", "caa": "caa", "persona": "p.pt",
    "svec": "v.svec", "steering_vectors": "s.pt",
}  # fmt: skip


@pytest.fixture
def vector(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    edit = Edit("block_output", 1, "add", 3 * torch.randn(WIDTH))
    made = SteeringVector((edit,), 1.7, "raw", {"method": "caa", "task": "letters"})
    return made.save_pretrained(tmp_path / "native")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps([{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]))
    return file


def run(checkpoint: Path, pairs: Path, vector: Path, out: Path) -> dict[str, Any]:
    given = ["run", "--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    given += ["--data", str(pairs), "--limit", "3", "--vector", str(vector), "-o", str(out)]
    assert main(given) == 0
    (result,) = json.loads((out / "results.json").read_text()).values()
    return {"metrics": result["metrics"], "moved": result["proof"]["max_logit_change"]}


@pytest.mark.parametrize("to", FORMATS)
def test_a_vector_measures_alike_in_every_format(
    to: str, checkpoint: Path, pairs: Path, vector: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    target = tmp_path / FORMATS[to]
    more = ["--model", "hf", "--model_args", f"pretrained={checkpoint}"] if to == "lm_eval" else []
    assert main(["convert", str(vector), str(target), "--to", to, *more]) == 0
    shown = capsys.readouterr().out
    assert f"wrote {target}: {to}, add at block_output, all, layers 1, width {WIDTH}" in shown
    assert "no place for its origin: method, task" in shown
    assert ("coefficient 1\n" in shown) == (to != "lm_eval")
    expected = run(checkpoint, pairs, vector, tmp_path / "out1")
    assert run(checkpoint, pairs, target, tmp_path / "out2") == expected
    assert ("does not say: " in capsys.readouterr().out) == (to != "lm_eval")


def test_what_is_changed_on_the_way(vector: Path, tmp_path: Path) -> None:
    def convert(*given: str) -> int:
        return main(["convert", *given])

    source, again = str(vector), str(tmp_path / "again")
    assert convert(source, again, "--positions", "continuation", "--coefficient", "2") == 0
    found = SteeringVector.load(again)
    assert (found.coefficient, found.edits[0].positions) == (2.0, "continuation")
    assert convert(again, str(tmp_path / "v.gguf"), "--positions", "all", "--layers", "1") == 0
    (edit,) = SteeringVector.load(tmp_path / "v.gguf").edits
    assert torch.equal(edit.tensor, 2 * found.edits[0].tensor)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{native} v.pt", "its ending does not say the format"),
        ("{native} v.pt --to lm_eval", "give the model (--model, --model_args)"),
        ("{native} v.pt --to lm_eval -M hf -a pretrained=/nowhere/at/all", "no such folder"),
        ("{native} v.pt --to lm_eval -a pretrained=x", "needs a --model"),
        ("{native} v.gguf --to ggml", "no format 'ggml'"),
        ("{native} v.gguf --layers 7", "no edit at layer [7]"),
        ("{native} v.gguf --positions first", "positions 'first'"),
        ("{native} v.gguf --positions prompt", "cannot say positions 'prompt'"),
        ("{native} v.gguf --coefficient nan", "coefficient"),
        ("nowhere v.gguf", "cannot be read"),
    ],
)
def test_mistakes_are_said_in_one_line_and_nothing_is_written(
    given: str, expected: str, vector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["convert", *given.format(native="native").split()])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    error = capsys.readouterr().err.strip()
    assert expected in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["native"]


@pytest.mark.parametrize("damage", ["bit", "config", "half", "seconds", "fifo"])
def test_a_damaged_kept_vector_is_fitted_anew_and_said(
    damage: str, checkpoint: Path, pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    given = ["compare", "--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32", "--data",
             str(pairs), "--arms", "zero_shot,icv", "--budget", "2", "--limit", "3"]  # fmt: skip
    assert main([*given, "-o", str(out)]) == 0
    (kept,) = (out / "vectors").iterdir()
    (record,) = [r for r in _records(out) if r["spec"]["arm"]["name"] == "icv"]
    sound = SteeringVector.from_pretrained(kept)
    _damage(kept, damage)
    for file in (out / "records").rglob("record.json"):
        file.unlink()
    with caplog.at_level(logging.WARNING):
        assert main([*given, "-o", str(out)]) == 0
    assert "is fitted anew" in caplog.text
    (again,) = [r for r in _records(out) if r["spec"]["arm"]["name"] == "icv"]
    for key in ("spec", "metrics", "headline"):
        assert again[key] == record[key]
    healed = SteeringVector.from_pretrained(kept)
    assert all(
        torch.equal(a.tensor, b.tensor) for a, b in zip(healed.edits, sound.edits, strict=True)
    )
    assert healed.coefficient == sound.coefficient


def _records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in (out / "records").rglob("record.json")]


def _damage(kept: Path, kind: str) -> None:
    config, tensors = kept / "steering_config.json", kept / "steering_vector.safetensors"
    if kind == "bit":
        content = bytearray(tensors.read_bytes())
        content[-3] ^= 64
        tensors.write_bytes(content)
    elif kind == "config":
        text = config.read_text()
        assert '"layer": 2' in text
        config.write_text(text.replace('"layer": 2', '"layer": 0'))
    elif kind == "half":
        tensors.unlink()
    elif kind == "seconds":
        content = json.loads(config.read_text())
        del content["provenance"]["fit_seconds"]
        config.write_text(json.dumps({**content, "config_sha256": ""}))
    else:
        tensors.unlink()
        os.mkfifo(tensors)
