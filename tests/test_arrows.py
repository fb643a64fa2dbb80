"""Which room may know which: every package is imported with the others blocked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = {
    "steering": ("harness", "reports", "task_defs", "lm_eval"),
    "task_defs": ("harness", "reports", "steering", "torch", "transformers", "lm_eval"),
    "reports": ("harness", "steering", "task_defs", "torch", "transformers", "lm_eval"),
}
IMPORT_ALL = """
import importlib, pkgutil, sys
room, *blocked = sys.argv[1:]
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{room} imports {name}")
sys.meta_path.insert(0, Block())
package = importlib.import_module(room)
for module in pkgutil.walk_packages(package.__path__, room + "."):
    parts = module.name.split(".")
    if "data" not in parts and parts[-1] not in {allowed!r}:
        importlib.import_module(module.name)
"""
FOR_LM_EVAL = ("task", "utils")
"""Modules that lm-eval itself imports: task classes and metrics."""


@pytest.mark.parametrize("room", BLOCKED)
def test_a_room_imports_no_other(room: str) -> None:
    allowed = FOR_LM_EVAL if room == "task_defs" else ()
    code = IMPORT_ALL.replace("{allowed!r}", repr(allowed))
    path = os.pathsep.join(filter(None, sys.path))
    found = subprocess.run(
        [sys.executable, "-c", code, room, *BLOCKED[room]],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr.strip().splitlines()[-1]


def test_no_arrow_points_up_and_none_in_a_circle() -> None:
    """The contracts of pyproject.toml; a breach is printed with the two modules' names."""
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
