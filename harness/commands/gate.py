"""`steergauge gate`: did a number move? Exit 1 on a regression."""

from __future__ import annotations

import argparse
import os
from collections import Counter

from harness.commands.records import read_records
from harness.commands.values import folder, share


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("folder", type=folder, help="the --output_path of a comparison")
    parser.add_argument(
        "--baseline", type=folder, required=True, metavar="FILE", help="JSON, made to be committed"
    )
    parser.add_argument(
        "--tolerance", type=share, default=0.02, metavar="X",
        help="how much worse a headline metric may be (default: 0.02)",
    )  # fmt: skip
    parser.add_argument(
        "--slowdown", type=share, metavar="SHARE",
        help="also fail when an arm's time over zero_shot's rises by more, such as 0.5",
    )  # fmt: skip
    parser.add_argument("--junit", type=folder, metavar="FILE", help="write JUnit XML")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--update", action="store_true", help="take over everything that was measured"
    )
    group.add_argument(
        "--update-new-only", action="store_true", help="take over new cases, judge the others"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print one line per failure and a count; in GitHub Actions, annotations too."""
    from reports.files import write_atomically
    from reports.gate import Rule, gate, github, junit

    records = read_records(arguments.folder, one_model=True)
    verdicts = gate(
        records,
        arguments.baseline,
        Rule(tolerance=arguments.tolerance, slowdown=arguments.slowdown),
        update=arguments.update,
        update_new_only=arguments.update_new_only,
    )
    for verdict in verdicts:
        if verdict.status != "pass":
            print(verdict)
    if arguments.junit:
        write_atomically(arguments.junit, junit(verdicts))
    if os.environ.get("GITHUB_ACTIONS"):
        print(github(verdicts))
    counts = Counter(verdict.status for verdict in verdicts)
    print(", ".join(f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items())))
    timed = Counter(verdict.timed for verdict in verdicts)
    if arguments.slowdown is not None and (timed[False] or not timed[True]):
        print(
            f"time was compared in {timed[True]} cases and not in {timed[False]}: it was not "
            "measured, here or in the baseline, or rounds disagreed"
        )
    return int(any(verdict.failed for verdict in verdicts))
