"""A comparison as a grid of measurements: tasks x seeds x arms, resumed where it stopped.

Work is ordered by task, so that what a task's fits share (captured activations) is captured once
and forgotten with the task. Every finished measurement is on disk before the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.run import Session
from harness.spec import Arm, RunSpec
from harness.tune import BUDGET, Search
from reports import Record
from reports.record import FOLDER
from steering import remembering


class Progress(Protocol):
    """What a grid tells about itself while it runs."""

    def start(self, tuning: int, measuring: int) -> None:
        """State how many searches and measurements there are."""

    def tuned(self, what: str) -> None:
        """One search is done."""

    def measured(self, what: str) -> None:
        """One measurement is done."""


class Silent:
    """Nobody watches."""

    def start(self, tuning: int, measuring: int) -> None:
        """Say nothing."""

    def tuned(self, what: str) -> None:
        """Say nothing."""

    measured = tuned


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

    def specs(self, session: Session) -> Iterator[list[RunSpec]]:
        """The measurements of each task."""
        for task in self.tasks:
            yield [
                session.spec(task, arm, seed, self.budget)
                for seed in self.seeds
                for arm in self.arms
            ]

    def run(self, session: Session, out: Path, progress: Progress | None = None) -> list[Record]:
        """Measure what is not yet on disk below `out`; return every record of the grid."""
        progress = progress or Silent()
        by_task = list(self.specs(session))
        every = [spec for specs in by_task for spec in specs]
        progress.start(len({_search(spec) for spec in every if spec.arm.method}), len(every))
        records = []
        for specs in by_task:
            _know_recorded(session, specs, out)
            with remembering():
                for spec in _searches(specs):
                    if any(
                        not _done(other, out) for other in specs if _search(other) == _search(spec)
                    ):
                        session.search(spec)
                    progress.tuned(f"{spec.task} {spec.arm.tuned}")
                for spec in specs:
                    records.append(self._measure(session, spec, out))
                    progress.measured(f"{spec.task} {spec.arm.name}")
        return records

    def _measure(self, session: Session, spec: RunSpec, out: Path) -> Record:
        if _done(spec, out):
            return Record.load(out / FOLDER / spec.run_id)
        record = session.evaluate(spec)
        record.save(out)
        return record


def _know_recorded(session: Session, specs: Sequence[RunSpec], out: Path) -> None:
    """Take over the searches that finished measurements of a task recorded."""
    for spec in specs:
        if spec.arm.method and _done(spec, out):
            recorded = Record.load(out / FOLDER / spec.run_id).tuning
            if recorded is not None:
                session.know(spec, Search.from_json(recorded))


def _done(spec: RunSpec, out: Path) -> bool:
    return (out / FOLDER / spec.run_id / "record.json").exists()


def _search(spec: RunSpec) -> tuple[str, str | None, int]:
    """What identifies a search within a grid."""
    return spec.task, spec.arm.tuned, spec.seed


def _searches(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """One measurement for each search that the measurements of a task need."""
    return list({_search(spec): spec for spec in specs if spec.arm.method}.values())
