"""A disk that is full: one line that names the file, the old file whole, nothing left over."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.cli import main
from harness.lm import packaged
from harness.tuning.search import Trial
from harness.tuning.searches import KeptTrials
from reports.files import PART
from reports.record import load_all
from steering import Edit, SteeringVector

PROC = Path("/proc/self/fd")
WORDS = [{"input": f"in{i}", "output": f"out{i % 3}"} for i in range(60)]

pytestmark = pytest.mark.skipif(
    not PROC.is_dir(), reason="which file is written is read in /proc, which Linux has"
)


@contextmanager
def full(patch: pytest.MonkeyPatch, part: str) -> Iterator[list[str]]:
    """No room for files whose paths contain a text: what was to reach the disk does not."""
    refused: list[str] = []
    sync = os.fsync

    def no_room(handle: int) -> None:
        name = str((PROC / str(handle)).readlink())
        if part in name:
            refused.append(name)
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with patch.context() as own:
        own.setattr(os, "fsync", no_room)
        yield refused


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a mistake."""
    error = capsys.readouterr().err
    lines = [line for line in error.split("\n") if line.startswith("steergauge: ")]
    assert "Traceback" not in error
    assert len(lines) == 1
    assert "No space left on device; the disk is full" in lines[0]
    return lines[0]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def words(checkpoint: Path, tmp_path: Path) -> list[str]:
    """A small model on pairs."""
    (tmp_path / "tiny-pairs.json").write_text(json.dumps(WORDS))
    model = ["--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32", "-L", "2"]
    return [*model, "--data", str(tmp_path / "tiny-pairs.json")]


def test_a_comparison_goes_on_where_a_full_disk_stopped_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def compare(out: Path) -> int:
        arms = ["--arms", "zero_shot,icv", "--budget", "2", "-o", str(out)]
        return main(["compare", *words, *arms])

    out, whole = tmp_path / "out", tmp_path / "whole"
    for part, named in (
        ("plan.json", "plan.json"), ("/searches/", "/searches/"), ("steering_config", "/vectors/"),
        ("samples.jsonl", "/records/"), ("record.json", "/records/"), (".svg", ".svg"),
        ("report.md", "report.md"),
    ):  # fmt: skip
        before = contents(out)
        with full(monkeypatch, part) as refused:
            assert compare(out) == 2
        assert len(refused) == 1
        assert named in said(capsys)
        assert not list(out.rglob(f"*{PART}"))
        changed = {path for path, content in before.items() if contents(out).get(path) != content}
        assert not {
            path for path in changed if path.suffix not in (".jsonl", ".svg", ".csv", ".tex")
        }
    assert compare(out) == compare(whole) == 0
    values = [
        {r.run_id: {n: m.value for n, m in r.metrics.items()} for r in load_all(each)}
        for each in (out, whole)
    ]
    assert values[0] == values[1]
    baseline = tmp_path / "baseline.json"
    for existing in (b"", b"{}"):
        if existing:
            assert main(["gate", str(out), "--baseline", str(baseline), "--update"]) == 0
        kept = contents(tmp_path)
        with full(monkeypatch, "baseline.json"):
            assert main(["gate", str(out), "--baseline", str(baseline), "--update"]) == 2
        assert str(baseline) in said(capsys)
        assert contents(tmp_path) == kept


@pytest.mark.parametrize("part", ["steering_vector", "README", "steering_config"])
def test_a_vector_folder_is_the_old_one(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = SteeringVector((Edit("block_output", 0, "add", torch.ones(4)),))
    old.save_pretrained(tmp_path / "v")
    kept = contents(tmp_path)
    new = SteeringVector((Edit("block_output", 0, "add", torch.zeros(4) + 2),))
    with full(monkeypatch, part), pytest.raises(OSError, match=part):
        new.save_pretrained(tmp_path / "v")
    assert contents(tmp_path) == kept
    assert float(SteeringVector.load(tmp_path / "v").edits[0].tensor[0]) == 1


@pytest.mark.parametrize("name", ["v.gguf", "v.pt", "v.svec", "folder"])
def test_convert(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edits = [Edit("block_output", layer, "add", torch.ones(4)) for layer in (1, 2)]
    SteeringVector(tuple(edits)).save_pretrained(tmp_path / "v")
    kind = {"folder": "caa", "v.pt": "persona"}.get(name)
    asked = ["convert", str(tmp_path / "v"), str(tmp_path / "to" / name)]
    asked += ["--to", kind] if kind else []
    with full(monkeypatch, "/to/"):
        assert main(asked) == 2
    assert str(tmp_path / "to" / name) in said(capsys)
    assert not contents(tmp_path / "to")
    assert main(asked) == 0


def test_a_trial_of_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are added to its file, and the ones before stay."""
    kept = KeptTrials(tmp_path / "k.trials.jsonl")
    kept.add({"layer": 1}, Trial({"layer": 1}, 0.5, 0.1), 9)
    opened: Callable[..., Any] = io.open

    class Full(io.TextIOWrapper):
        def write(self, text: str) -> int:
            super().write(text[: len(text) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    def torn(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        return Full(opened(path, "ab")) if mode == "a" else opened(path, mode, *rest, **more)

    with monkeypatch.context() as own:
        own.setattr(io, "open", torn)
        with pytest.raises(OSError, match=r"k\.trials\.jsonl"):
            kept.add({"layer": 2}, Trial({"layer": 2}, 0.6, 0.1), 9)
    kept.add({"layer": 3}, Trial({"layer": 3}, 0.7, 0.1), 9)
    again = KeptTrials(tmp_path / "k.trials.jsonl")
    assert [bool(again.get({"layer": layer})) for layer in (1, 2, 3)] == [True, False, True]


def test_the_joined_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = packaged.PACKAGED["gemma3-270m"]
    monkeypatch.setattr(packaged, "installed", lambda _: True)
    monkeypatch.setattr(packaged, "_inside", lambda _: tmp_path)
    monkeypatch.setattr(packaged, "_cache", lambda: tmp_path / "cache")
    (tmp_path / "data").mkdir()
    for _, file in own.parts:
        (tmp_path / file).write_bytes(b"part")
    with full(monkeypatch, "/cache/"), pytest.raises(OSError, match="cache"):
        packaged.gguf_file("gemma3-270m")
    assert not contents(tmp_path / "cache")


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="a device that is always full, /dev/full, is Linux's"
)
def test_standard_output() -> None:
    with Path("/dev/full").open("w") as nowhere:
        ended = subprocess.run(
            [sys.executable, "-m", "harness.cli", "ls", "arms"],
            stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    line = "steergauge: standard output: No space left on device; the disk is full"
    assert ended.stderr.startswith(line)
    assert ended.stderr.count("\n") == 1
