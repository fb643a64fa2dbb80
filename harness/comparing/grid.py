"""A comparison as a grid of measurements: tasks x seeds x arms, resumed where it stopped.

First each task's searches and fits, so that what they share (captured activations) is captured once
and forgotten with the task; then each arm, all its tasks in one pass. Every search, vector and arm
is on disk before the next one begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.comparing.arm import evaluate
from harness.measuring.session import Session
from harness.measuring.spec import BUDGET, Arm, RunSpec
from harness.tuning.chosen import Tuner
from reports import Record
from reports.record import FOLDER


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
        budget: Configurations that each method gets on each task.
    """

    tasks: Sequence[str]
    arms: Sequence[Arm]
    seeds: Sequence[int] = (0,)
    budget: int = BUDGET

    def specs(self, session: Session) -> list[list[RunSpec]]:
        """The measurements of each arm and seed, one per task."""
        return [
            [session.spec(task, arm, seed, self.budget) for task in self.tasks]
            for seed in self.seeds
            for arm in self.arms
        ]

    def run(self, tuner: Tuner, out: Path, progress: Progress | None = None) -> list[Record]:
        """Measure what is not yet on disk below `out`; return every record of the grid."""
        progress = progress or Silent()
        by_arm = self.specs(tuner.session)
        every = [spec for specs in by_arm for spec in specs]
        steered = [spec for spec in every if spec.arm.method]
        progress.begin("tuning", len({_search(spec) for spec in steered}))
        for task in self.tasks:
            with tuner.remembering():
                self._fit(tuner, [spec for spec in steered if spec.task == task], out, progress)
        progress.begin("measuring", len(every))
        for specs in by_arm:
            progress.now(f"{specs[0].arm.name}, seed {specs[0].seed}")
            missing = [spec for spec in specs if not _done(spec, out)]
            for record in evaluate(tuner, missing) if missing else ():
                record.save(out)
            progress.done(len(specs))
        ordered = sorted(every, key=lambda spec: self.tasks.index(spec.task))
        return [Record.load(out / FOLDER / spec.run_id) for spec in ordered]

    def _fit(self, tuner: Tuner, specs: Sequence[RunSpec], out: Path, progress: Progress) -> None:
        """Search for a task's arms and fit their vectors, before anything is measured."""
        found = set()
        for spec in specs:
            progress.now(f"{spec.task} {spec.arm.tuned}, seed {spec.seed}")
            if not _done(spec, out):
                tuner.vector(spec)
            progress.done(_search(spec) not in found)
            found.add(_search(spec))


def _done(spec: RunSpec, out: Path) -> bool:
    return (out / FOLDER / spec.run_id / "record.json").exists()


def _search(spec: RunSpec) -> tuple[str, str | None, int]:
    """What identifies a search within a grid."""
    return spec.task, spec.arm.tuned, spec.seed
