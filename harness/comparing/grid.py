"""A comparison as a grid of measurements: tasks x seeds x arms, resumed where it stopped.

First each task's searches and fits, so that what they share (captured activations) is captured once
and forgotten with the task; then each arm, all its tasks in one pass. Every search, vector and
record is on disk before the next cell begins.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.comparing.cells import Cell, cells, recorded
from harness.comparing.ledger import Ledger
from harness.errors import UsageError
from harness.measuring.spec import BASELINE, Arm, RunSpec
from harness.tuning.chosen import Tuner
from reports import BadRecord, Record
from reports.record import FOLDER

if TYPE_CHECKING:
    from harness.measuring.session import Session


class CellsFailed(UsageError):
    """Some cells of a grid could not be done.

    Attributes:
        failures: Reasons by cell.
        records: What the others measured.
    """

    def __init__(self, failures: dict[str, str], records: list[Record]) -> None:
        self.failures, self.records = failures, records
        reasons = list(dict.fromkeys(failures.values()))
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        super().__init__(f"{len(failures)} cells failed: {reasons[0]}{more}")


class Executor(Protocol):
    """Where cells run: `local.Local`, `launched.Launched` or `on_ray.OnRay`."""

    @property
    def leads(self) -> bool:
        """Whether this process plans, shows and reports."""

    def specs(self, plan: Grid) -> list[list[RunSpec]]:
        """The measurements of a grid on the model that is there."""

    def run(self, cells: Sequence[Cell], out: Path, progress: Progress) -> dict[str, str]:
        """Run cells that need nothing of one another; reasons of those that failed, by name."""


class Progress(Protocol):
    """What a grid tells about itself while it runs."""

    def begin(self, phase: str, total: int | None = None) -> None:
        """A phase begins that has so many steps."""

    def now(self, what: str) -> None:
        """This is being worked on."""

    def done(self, steps: int = 1) -> None:
        """Steps of the present phase are done."""


class Silent:
    """Nobody watches."""

    def begin(self, phase: str, total: int | None = None) -> None:
        """Say nothing."""

    def now(self, what: str) -> None:
        """Say nothing."""

    def done(self, steps: int = 1) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Grid:
    """What a comparison measures.

    Attributes:
        tasks: Names of tasks.
        arms: Arms of each.
        seeds: Seeds of demonstrations, fits, controls and the choice of configurations.
        budget: Configurations that each method gets on each task; None: as many as the task bears.
        dose: Nats per token at which methods are compared; None tunes coefficients instead.
        side: Names of tasks that nothing is tuned for, on which every vector is measured too.
    """

    tasks: Sequence[str]
    arms: Sequence[Arm]
    seeds: Sequence[int] = (0,)
    budget: int | None = None
    dose: float | None = None
    side: Sequence[str] = ()

    def specs(self, tuner: Tuner) -> list[list[RunSpec]]:
        """The measurements of each arm and seed, one per task; each once, whatever its name."""
        tuner.session.manner.require_templates(self.tasks)
        found, known = [], set[str]()
        for seed in self.seeds:
            for arm in self.arms:
                every = (
                    tuner.session.spec(task, arm, seed, self.budget, self.dose)
                    for task in self.tasks
                    if tuner.session.asks(task, arm)
                )
                new = [spec for spec in every if spec.run_id not in known]
                known |= {spec.run_id for spec in new}
                found += [new] if new else []
        return [*found, *self._side_effects(tuner.session)]

    def _side_effects(self, session: Session) -> Iterator[list[RunSpec]]:
        """The side tasks unsteered, and under every vector that was not made for them.

        On top of a prompting a method has the same vector, so that those arms add nothing.
        """
        if self.side:
            plain, seed = Arm(BASELINE, BASELINE), self.seeds[0]
            yield [session.side(session.spec(task, plain, seed), task) for task in self.side]
        for seed, arm, task in product(self.seeds, self.arms, self.tasks):
            others = [other for other in self.side if other != task]
            steered = arm.method and "@" not in arm.name and session.asks(task, arm)
            if others and steered:
                spec = session.spec(task, arm, seed, self.budget, self.dose)
                yield [session.side(spec, other) for other in others]

    def run(self, executor: Executor, out: Path, progress: Progress | None = None) -> list[Record]:
        """Measure what is not yet on disk below `out`; return every record of the grid.

        Raises:
            CellsFailed: some cells could not be done; it holds the records of the others.
        """
        progress = progress or Silent()
        by_arm = executor.specs(self)
        _forget_damaged([spec for specs in by_arm for spec in specs], out)
        tuning, measuring = cells(by_arm)
        if executor.leads:
            Ledger(out).plan([*tuning, *measuring])
        failures = {}
        for phase in (tuning, measuring):
            left = [cell for cell in phase if cell.missing(out)]
            progress.begin(phase[0].kind if phase else "tuning", len(phase))
            progress.done(len(phase) - len(left))
            failures.update(executor.run(left, out, progress))
        every = [spec for specs in by_arm for spec in specs if recorded(spec, out)]
        places = {task: place for place, task in enumerate((*self.tasks, *self.side))}
        ordered = sorted(every, key=lambda spec: (bool(spec.side), places[spec.task]))
        records = [Record.load(out / FOLDER / spec.run_id) for spec in ordered]
        if failures:
            raise CellsFailed(failures, records)
        return records


def _forget_damaged(specs: Sequence[RunSpec], out: Path) -> None:
    """Remove records that cannot be read, so that they are measured anew, and say so."""
    for spec in specs:
        if recorded(spec, out):
            try:
                Record.load(out / FOLDER / spec.run_id)
            except BadRecord as problem:
                logging.getLogger(__name__).warning("measured anew: %s", problem)
                shutil.rmtree(out / FOLDER / spec.run_id)
