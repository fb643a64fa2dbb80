"""`steergauge report`: the report of a folder of records, written anew."""

from __future__ import annotations

import argparse

from harness.commands.records import read_records
from harness.commands.values import folder


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("folder", type=folder, help="the --output_path of a comparison")
    parser.add_argument(
        "--timings",
        type=folder,
        metavar="FILE",
        help="pytest-benchmark JSON to be added as a table",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Read the records and write every form of the report."""
    from harness.commands.screen import show
    from harness.comparing.ledger import Ledger
    from reports.writer import write

    records = read_records(arguments.folder, one_model=False)
    failures = Ledger(arguments.folder).failures()
    show(records, write(arguments.folder, records, arguments.timings, failures))
    return 0
