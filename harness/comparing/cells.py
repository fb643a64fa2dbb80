"""Cells: the units of a comparison.

Each leaves all that it finds on disk, so that any process may run it, twice does no harm, and
nothing that is there is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.comparing.arm import evaluate
from harness.errors import UsageError, one_line
from reports.record import FOLDER

if TYPE_CHECKING:
    from harness.measuring.spec import RunSpec
    from harness.tuning.chosen import Tuner

Now = Callable[[str], None]
"""Told what is being worked on."""


@dataclass(frozen=True)
class Cell:
    """One unit of work.

    Attributes:
        kind: `tuning`: a task's searches and fits for one seed, which share what they capture;
            `measuring`: an arm's pass over all its tasks.
        name: For people.
        specs: The measurements that it serves.
    """

    kind: Literal["tuning", "measuring"]
    name: str
    specs: tuple[RunSpec, ...]

    @property
    def id(self) -> str:
        """12 hex digits over what is asked."""
        asked = " ".join([self.kind, *(spec.run_id for spec in self.specs)])
        return hashlib.sha256(asked.encode()).hexdigest()[:12]

    def missing(self, out: Path) -> list[RunSpec]:
        """The measurements that are not yet on disk."""
        return [spec for spec in self.specs if not recorded(spec, out)]

    def run(
        self, tuner: Tuner, out: Path, now: Now = lambda _: None, *, anew: bool = False
    ) -> None:
        """Do what is missing; a task that cannot be steered does not keep the others.

        Args:
            tuner: The model, its tasks, and what chooses vectors.
            out: Folder of the records.
            now: Told what is being worked on.
            anew: A process died in this cell, perhaps between two records: the whole pass is made
                again, for what is missing to come out of the batches that it would have come from.

        Raises:
            UsageError: the reasons, task by task.
        """
        ready, reasons = [], []
        asked = self.missing(out)
        if asked and anew and self.kind == "measuring":
            asked = list(self.specs)
        with tuner.remembering():
            for spec in asked:
                now(f"{spec.task} {spec.arm.name}, seed {spec.seed}")
                try:
                    if spec.arm.method:
                        tuner.vector(spec)
                    ready.append(spec)
                except ValueError as problem:
                    reasons.append(f"{spec.task} {spec.arm.name}: {one_line(problem)}")
        if ready and self.kind == "measuring":
            now(f"{self.name}: {len(ready)} tasks")
            reasons += _measure(tuner, ready, out)
        if reasons:
            raise UsageError("; ".join(reasons))


def _measure(tuner: Tuner, specs: Sequence[RunSpec], out: Path) -> list[str]:
    """Measure in one pass, or one after the other where a task breaks it; reasons of those."""
    try:
        records = evaluate(tuner, specs)
        for spec, record in zip(specs, records, strict=True):
            if not recorded(spec, out):
                record.save(out)
    except ValueError as problem:
        if len(specs) == 1:
            return [f"{specs[0].asked} {specs[0].arm.name}: {one_line(problem)}"]
        return [reason for spec in specs for reason in _measure(tuner, [spec], out)]
    return []


def cells(by_arm: Sequence[Sequence[RunSpec]]) -> tuple[list[Cell], list[Cell]]:
    """The cells of a grid: those that tune, and those that measure and need the first ones.

    Args:
        by_arm: The measurements of each arm and seed, one per task.
    """
    searched: dict[tuple[str, int], list[RunSpec]] = {}
    for specs in by_arm:
        for spec in specs:
            if spec.arm.method and spec.side is None:
                searched.setdefault((spec.task, spec.seed), []).append(spec)
    tuning = [
        Cell("tuning", f"{task}, seed {seed}", tuple(specs))
        for (task, seed), specs in searched.items()
    ]
    measuring = [
        Cell("measuring", f"{_arms(specs)}, seed {specs[0].seed}", tuple(specs)) for specs in by_arm
    ]
    return tuning, measuring


def _arms(specs: Sequence[RunSpec]) -> str:
    """The arm of some measurements; a baseline bears each suite's own name."""
    arms = ", ".join(dict.fromkeys(spec.arm.name for spec in specs))
    if specs[0].side is None:
        return arms
    return f"side effects of {arms} of {specs[0].task}" if specs[0].arm.method else "side tasks"


def recorded(spec: RunSpec, out: Path) -> bool:
    """Whether a measurement is on disk."""
    return (out / FOLDER / spec.run_id / "record.json").exists()
