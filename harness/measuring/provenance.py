"""What else must be known to believe a number and to repeat it."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("steergauge", "torch", "transformers", "lm-eval", "datasets", "numpy", "scikit-learn")


def provenance() -> dict[str, Any]:
    """Versions, commit, command line, host and date of a measurement that is done now."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    return {**_process(), "date": now}


@cache
def _process() -> dict[str, Any]:
    """What stays the same in this process."""
    return {
        "command": shlex.join(["steergauge", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "host": {
            "cores": _cores(),
            "machine": platform.machine(),
            "system": platform.system(),
        },
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _cores() -> int | None:
    """Cores that this process may use, where the system says so."""
    known = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if known else os.cpu_count()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Ask git about the source of this package; None where there is no checkout."""
    folder = Path(__file__).resolve().parent.parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
