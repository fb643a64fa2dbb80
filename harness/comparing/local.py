"""Cells one after the other in this process: what one machine does, and what others must equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.comparing.ledger import Ledger
from harness.errors import UserCodeFailed, one_line
from task_defs.guard import perhaps_users_code

if TYPE_CHECKING:
    from harness.comparing.cells import Cell
    from harness.comparing.grid import Progress
    from harness.measuring.spec import RunSpec
    from harness.tuning.chosen import Tuner


class Plan(Protocol):
    """What knows its measurements once a model is there (`harness.comparing.grid.Grid`)."""

    def specs(self, tuner: Tuner) -> list[list[RunSpec]]:
        """The measurements of each arm and seed, one per task."""


@dataclass
class Local:
    """Runs cells on one loaded model.

    Attributes:
        tuner: The model, its tasks, and what chooses vectors.
    """

    tuner: Tuner

    @property
    def leads(self) -> bool:
        """Whether this process plans, shows and reports."""
        return True

    def specs(self, plan: Plan) -> list[list[RunSpec]]:
        """The measurements of a plan on this model."""
        return plan.specs(self.tuner)

    def run(self, cells: Sequence[Cell], out: Path, progress: Progress) -> dict[str, str]:
        """Run cells in their order.

        Returns:
            Why a cell could not be done, by its name.
        """
        ledger, failures = Ledger(out), {}
        for cell in cells:
            progress.now(cell.name)
            reason = run_cell(cell, self.tuner, out, progress)
            if reason is not None:
                failures[cell.name] = reason
                ledger.failed(cell, reason)
            progress.done()
        return failures


def run_cell(cell: Cell, tuner: Tuner, out: Path, progress: Progress | None) -> str | None:
    """Run one cell in this process; the reason if it cannot be done."""
    ledger = Ledger(out)
    anew = ledger.begun(cell)
    try:
        with ledger.running(cell), perhaps_users_code(cell.name, UserCodeFailed):
            cell.run(tuner, out, progress.now if progress else lambda _: None, anew=anew)
    except ValueError as problem:
        return one_line(problem)
    ledger.finished(cell)
    return None
