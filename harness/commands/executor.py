"""Where a comparison's cells run: in this process, or on a Ray cluster."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import (
    include_methods,
    open_session,
    quiet,
    sources,
)
from harness.commands.values import key_values, positive
from harness.errors import UsageError
from harness.lm.launch import processes

if TYPE_CHECKING:
    from harness.comparing.grid import Executor
    from harness.measuring.sources import Sources
    from harness.tuning.chosen import Tuner


def executor_options(parser: argparse.ArgumentParser) -> None:
    """Which machines, and how many processes."""
    group = parser.add_argument_group("where it runs")
    group.add_argument(
        "--executor", default="local", metavar="WHERE",
        help="local; ray (the cluster that is there, else a new local one); or ray://HOST:PORT "
        "(default: local)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=positive, metavar="N", help="Ray workers, each with its own model"
    )
    group.add_argument(
        "--resources", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="of each Ray worker, such as gpu=1 or cpu=4",
    )  # fmt: skip


def open_tuner(arguments: argparse.Namespace, out: Path, found: Sources | None = None) -> Tuner:
    """Load the model and what chooses vectors; on a cluster this runs in each worker."""
    quiet()
    include_methods(arguments.include_method)
    from harness.tuning.chosen import Tuner

    if found is None:
        found = sources(arguments)
        found.select(arguments.suite, arguments.tasks)
    return Tuner(open_session(arguments, found), out)


def executor(arguments: argparse.Namespace, out: Path, found: Sources) -> Executor:
    """The executor that the options name.

    Args:
        arguments: What was asked.
        out: Folder of the records.
        found: The tasks, for a model in this process.

    Raises:
        UsageError: an unknown one, or options of Ray without it.
    """
    where = str(arguments.executor)
    if where == "local":
        if arguments.workers or arguments.resources:
            raise UsageError("--workers and --resources belong to --executor ray; add it")
        from harness.comparing.local import Local

        if processes() == 1:
            return Local(open_tuner(arguments, out, found))
        from harness.comparing.launched import Launched

        return Launched(open_tuner(arguments, out, found))
    if where != "ray" and not where.startswith("ray://"):
        raise UsageError(f"--executor {where!r}: expected local, ray or ray://HOST:PORT")
    wrong = [n for n, v in arguments.resources.items() if not isinstance(v, int | float) or v < 0]
    if wrong:
        raise UsageError(f"--resources {wrong[0]}={arguments.resources[wrong[0]]!r}: not a number")
    from harness.comparing.on_ray import OnRay

    opening = partial(open_tuner, arguments, out.resolve())
    address = where if where != "ray" else None
    return OnRay(opening, arguments.workers or 2, arguments.resources, address)
