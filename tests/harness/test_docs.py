"""The commands of docs/new-method.md, run word for word."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "new-method.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    steergauge ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder after every command of the page."""
    place = tmp_path_factory.mktemp("reader")
    (place / "examples").symlink_to(ROOT / "examples")
    pairs = [{"input": f"item {i}", "output": f"thing {i * i}"} for i in range(60)]
    (place / "my-pairs.json").write_text(json.dumps(pairs))
    for command in COMMANDS:
        program = [sys.executable, "-m", "harness.cli", *shlex.split(command)[1:]]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            program, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    return place


def arms(report: Path) -> dict[str, str]:
    """Rows of the report's first table, by arm."""
    lines = (report / "report.md").read_text(encoding="utf-8").split("### ")[1].splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["prompt_shift", "random_vector:prompt_shift", "fv", "icv"])
def test_the_method_of_the_page_stands_in_the_table_with_its_interval(
    folder: Path, arm: str
) -> None:
    assert re.search(r"\[[+−]\d\.\d{3}, [+−]\d\.\d{3}\]", arms(folder / "out-mine")[arm])


@pytest.mark.slow
def test_the_file_of_pairs_is_a_task_in_the_table(folder: Path) -> None:
    assert {"zero_shot", "few_shot", "fv", "icv"} <= arms(folder / "out-task").keys()
    assert "my-pairs" in (folder / "out-task" / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_vector_of_the_page_is_there(folder: Path) -> None:
    assert (folder / "vector" / "steering_vector.safetensors").exists()
