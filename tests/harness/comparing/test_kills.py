"""A comparison that is killed at any moment, and run again, is the undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.cli import main
from reports.files import abandoned
from reports.record import load_all

MOMENTS = 25


@pytest.fixture
def command(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """A small comparison: the cheapest fit, and one figure for all, which are written alike."""
    from reports import plots

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked process has none of its parent's, and would wait for them
    monkeypatch.setattr(plots, "FIGURES", {"overview": plots.FIGURES["overview"]})
    pairs = tmp_path / "tiny-pairs.json"
    pairs.write_text(json.dumps([{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]))
    yield [
        "compare", "--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32",
        "--data", str(pairs), "--arms", "zero_shot,icv", "--budget", "2", "--limit", "3", "-o",
    ]  # fmt: skip
    torch.set_num_threads(threads)


def found(out: Path) -> dict[str, Any]:
    """What a comparison says, without what time it took."""
    records = {
        record.run_id: [record.spec, record.samples, record.metrics, record.headline, record.proof]
        for record in load_all(out)
    }
    trials = [
        {**trial, "seconds": None}
        for path in sorted((out / "searches").glob("*.json"))
        for trial in json.loads(path.read_text())["trials"]
    ]
    files = sorted(
        str(path.relative_to(out)) for path in out.rglob("*") if "cells" not in path.parts
    )
    return {"records": records, "trials": trials, "files": files}


def undisturbed(command: list[str], tmp_path: Path) -> dict[str, Any]:
    assert main([*command, str(tmp_path / "whole")]) == 0
    return found(tmp_path / "whole")


def again(command: list[str], out: Path, wanted: dict[str, Any]) -> None:
    assert main([*command, str(out)]) == 0
    assert found(out) == wanted
    assert not list(abandoned(out))


def started(command: list[str], out: Path, writes: int | None = None) -> int:
    """A process of its own for the command, as warm as this one; it dies at one of its writes."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        if writes is not None:
            die_at_write(writes, str(out))
        code = main([*command, str(out)])
    finally:
        os._exit(code)


def die_at_write(left: int, folder: str) -> None:
    """SIGKILL before a change of the folder: a file opened to be written, renamed, removed."""

    def watched(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        changes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir") or (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if changes and str(arguments[0]).startswith(folder):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watched)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_killed_at_random_moments(command: list[str], tmp_path: Path) -> None:
    wanted = undisturbed(command, tmp_path)
    began = time.monotonic()
    assert ended(started(command, tmp_path / "timed")) == 0
    whole, chance, killed = time.monotonic() - began, random.Random(0), 0
    for moment in range(MOMENTS):
        out = tmp_path / f"moment{moment}"
        child = started(command, out)
        time.sleep(chance.random() * whole)
        os.kill(child, signal.SIGKILL)
        killed += ended(child) == -signal.SIGKILL
        again(command, out, wanted)
    assert killed > MOMENTS // 2


@pytest.mark.slow
def test_killed_at_every_write(command: list[str], tmp_path: Path) -> None:
    wanted = undisturbed(command, tmp_path)
    for write in range(1000):
        out = tmp_path / f"write{write}"
        code = ended(started(command, out, write))
        if code == 0:  # it makes fewer writes than that
            assert write > 20
            return
        assert code == -signal.SIGKILL
        again(command, out, wanted)
    raise AssertionError("no comparison makes so many writes")
