"""`steergauge report`: the report of folders of records, written anew."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import writable
from harness.commands.records import read_records
from harness.commands.values import folder
from harness.errors import UsageError

if TYPE_CHECKING:
    from reports.runs import Run

FORMATS = ("lm-eval",)


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "folders", type=folder, nargs="+", metavar="FOLDER",
        help="the --output_path of a comparison; of several, models and runs are set beside each "
        "other",
    )  # fmt: skip
    parser.add_argument(
        "--output_path", "-o", type=folder, metavar="FOLDER",
        help="where the report goes (default: the folder of a single one, else ./report)",
    )  # fmt: skip
    parser.add_argument(
        "--timings",
        type=folder,
        metavar="FILE",
        help="pytest-benchmark JSON to be added as a table",
    )
    parser.add_argument(
        "--export", choices=FORMATS,
        help="also write the records as other tools read them, into a folder of that name beside "
        "the report: lm-eval's results_*.json and samples_*.jsonl, a folder per model and arm",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Read the records and write every form of the report."""
    folders = list(dict.fromkeys(path.resolve() for path in arguments.folders))
    if len(folders) == 1:
        return _one(arguments)
    from harness.commands.screen import show_runs
    from reports.runs import Run
    from reports.writer import write_runs

    runs = [
        Run(name, read_records(path, one_model=False))
        for name, path in zip(_names(folders), folders, strict=True)
    ]
    out = writable(arguments.output_path or Path("report"))
    if out.resolve() in folders:
        raise UsageError(
            f"{out}: the report of several runs would take the place of this one's; name another "
            "folder with --output_path"
        )
    show_runs(runs, write_runs(out, runs, arguments.timings))
    _export(arguments.export, runs, out)
    return 0


def _one(arguments: argparse.Namespace) -> int:
    from harness.commands.screen import show
    from harness.comparing.ledger import Ledger
    from reports.runs import Run
    from reports.writer import write

    (path, *_) = arguments.folders
    records = read_records(path, one_model=False)
    out = writable(arguments.output_path) if arguments.output_path else path
    show(records, write(out, records, arguments.timings, Ledger(path).failures()))
    _export(arguments.export, [Run("", records)], out)
    return 0


def _export(form: str | None, runs: list[Run], out: Path) -> None:
    """Write the records in another form, and say where they lie."""
    if form is None:
        return
    from reports.lm_eval_files import export

    for run in runs:
        place = out / form / run.name
        files = export(run.records, place)
        print(f"{len(files)} models and arms as {form} writes them: {place}")


def _names(folders: list[Path]) -> list[str]:
    """As much of each path as is its own."""
    common = Path(os.path.commonpath(folders))
    return [path.relative_to(common).as_posix() for path in folders]
