"""Two processes of one launch measure what one process measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.lm.loading import load
from tests.harness.comparing.test_on_ray import compare, contents, pairs

LAUNCHERS = {
    "accelerate": ["accelerate.commands.launch", "--num_processes", "2"],
    "torchrun": ["torch.distributed.run", "--nproc-per-node", "2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_are_as_one(launcher: str, checkpoint: Path, tmp_path: Path) -> None:
    tasks = pairs(tmp_path, 3)
    assert compare(checkpoint, tasks, tmp_path / "one") == 0
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    few = ["--arms", "zero_shot,few_shot,icv,random_vector", "--budget", "2", "--limit", "3"]
    command = ["-m", "harness.cli", "compare", *model, *tasks, *few, "-o", str(tmp_path / "two")]
    found = subprocess.run(
        [sys.executable, "-m", *LAUNCHERS[launcher], *command],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stderr.count("tuning: 0 of 3") == 1, "one process shows what all do"
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_other_commands_need_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["ls", "arms"]) == 2
    assert "run ls in one" in capsys.readouterr().err


def test_tensor_parallelism_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="splits heads between processes"):
        load("hf", {"pretrained": str(checkpoint), "tp_plan": "auto"})
