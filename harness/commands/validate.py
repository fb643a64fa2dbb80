"""`steergauge validate`: are the task files what lm-eval will take them for?"""

from __future__ import annotations

import argparse

from harness.commands.values import folder
from harness.errors import UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "folder", nargs="?", type=folder, help="a folder of task YAMLs (default: the built-in ones)"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print one line per file; 1 if anything was found."""
    import task_defs

    folder = arguments.folder
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one that holds task YAMLs")
    found = task_defs.validate(folder)
    if not found:
        raise UsageError(f"{folder}: no task YAML there")
    for report in found:
        print(report)
    return 0 if all(report.ok for report in found) else 1
