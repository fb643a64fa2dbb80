"""A comparison on a Ray cluster equals the local one, whatever happens to its workers."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.cli import main
from harness.comparing.ledger import Ledger
from reports import Record
from reports.record import load_all

ray = pytest.importorskip("ray", reason="Ray is an optional extra")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
WORKER = "ray::_Worker"


@pytest.fixture
def cluster() -> Iterator[None]:
    yield
    ray.shutdown()


def pairs(folder: Path, number: int) -> list[str]:
    """Options that name as many small tasks."""
    found = []
    for task in range(number):
        file = folder / f"pairs{task}.json"
        content = [{"input": f"in{i}", "output": f"out{i % 3}{task}"} for i in range(40)]
        file.write_text(json.dumps(content))
        found += ["--data", str(file)]
    return found


def compare(checkpoint: Path, tasks: list[str], out: Path, *more: str) -> int:
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    few = ["--arms", "zero_shot,few_shot,icv,random_vector", "--budget", "2", "--limit", "3"]
    return main(["compare", *model, *tasks, "-o", str(out), *few, *more])


def contents(out: Path) -> dict[str, Any]:
    """Everything that was measured, without what depends on when and where."""
    return {record.run_id: _timeless(record) for record in load_all(out)}


def _timeless(record: Record) -> Any:
    fit = {k: v for k, v in (record.fit or {}).items() if k not in ("seconds", "provenance")}
    trials = [
        {k: v for k, v in trial.items() if k != "seconds"}
        for trial in (record.tuning or {}).get("trials", ())
    ]
    return record.spec, record.metrics, record.samples, record.proof, fit, trials


def workers() -> list[int]:
    """The cluster's workers that are alive: processes that this one's cluster began."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if WORKER in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def kill_workers(over: threading.Event, killed: list[int]) -> None:
    """SIGKILL a random worker again and again."""
    rng = random.Random(0)
    while not over.wait(rng.uniform(6, 9)):
        if alive := workers():
            victim = rng.choice(alive)
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)


def test_workers_that_die_lose_nothing(checkpoint: Path, tmp_path: Path, cluster: None) -> None:
    tasks = pairs(tmp_path, 6)
    seeds = ["--seeds", "0,1,2,3,4,5"]  # 36 cells that tune and 24 that measure
    assert compare(checkpoint, tasks, tmp_path / "local", *seeds) == 0
    over, killed = threading.Event(), list[int]()
    killer = threading.Thread(target=kill_workers, args=(over, killed))
    killer.start()
    try:
        spread = [*seeds, "--executor", "ray", "--workers", "2"]
        assert compare(checkpoint, tasks, tmp_path / "ray", *spread) == 0
    finally:
        over.set()
        killer.join()
    assert len(killed) >= 2
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    cells = Ledger(tmp_path / "ray").state()
    assert len(cells) == 60
    assert {cell["state"] for cell in cells} == {"done"}


def test_a_driver_that_dies_is_continued_by_another_executor(
    checkpoint: Path, tmp_path: Path, cluster: None
) -> None:
    tasks = pairs(tmp_path, 2)
    assert compare(checkpoint, tasks, tmp_path / "local") == 0
    out = tmp_path / "mixed"
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    few = ["--arms", "zero_shot,few_shot,icv,random_vector", "--budget", "2", "--limit", "3"]
    command = [sys.executable, "-m", "harness.cli", "compare", *model, *tasks, "-o", str(out), *few]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("searches/*.json")) and driver.poll() is None:
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert compare(checkpoint, tasks, out, "--executor", "ray", "--workers", "2") == 0
    assert contents(out) == contents(tmp_path / "local")
