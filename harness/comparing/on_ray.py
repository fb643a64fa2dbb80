"""Cells on a Ray cluster: each worker keeps its model loaded and takes one cell after the other.

Cells leave their results on disk, so that a worker that dies loses only the cell in its hands: Ray
starts it anew and gives the cell to it again. The folder must be one that all nodes share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.comparing.ledger import Ledger
from harness.comparing.local import Plan, run_cell
from harness.errors import UsageError, one_line

if TYPE_CHECKING:
    from harness.comparing.cells import Cell
    from harness.comparing.grid import Progress
    from harness.measuring.spec import RunSpec
    from harness.tuning.chosen import Tuner

TRIES = 8
"""How often a cell is given out before its worker's death counts as its own failure."""


class _Worker:
    """Lives in a process of the cluster."""

    def __init__(self, opening: Callable[[], Tuner]) -> None:
        self.tuner = opening()

    def specs(self, plan: Plan) -> list[list[RunSpec]]:
        return plan.specs(self.tuner)

    def run(self, cell: Cell, out: Path) -> str | None:
        return run_cell(cell, self.tuner, out, None)


@dataclass
class OnRay:
    """Runs cells on a cluster: that of `address`, the one that is there, or a new local one.

    Attributes:
        opening: Loads the model; runs once in each worker.
        workers: How many.
        resources: What each of them takes, such as {"gpu": 1}.
        address: `ray://HOST:PORT`, or None.
    """

    opening: Callable[[], Tuner]
    workers: int
    resources: Mapping[str, float] = field(default_factory=dict)
    address: str | None = None

    leads: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Join or start the cluster.

        Raises:
            UsageError: Ray is not installed, or nobody answers at the address.
        """
        if find_spec("ray") is None:
            raise UsageError(
                "--executor ray needs Ray, which is not installed: pip install steergauge[ray]"
            )
        import ray

        address = self.address or os.environ.get("RAY_ADDRESS")
        if not ray.is_initialized():
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            try:
                if address:
                    ray.init(address=address, **quiet)
                else:
                    self._join_or_start(ray, quiet)
            except (ConnectionError, ValueError, OSError) as problem:
                where = address or "ray"
                raise UsageError(f"--executor {where}: {one_line(problem)}") from problem
        own = {name: n for name, n in self.resources.items() if name not in ("cpu", "gpu")}
        held: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        share = max(1, int(held.get("CPU", 1)) // self.workers)
        worker: Any = ray.remote(_Worker)
        actor = worker.options(
            num_cpus=self.resources.get("cpu", share), num_gpus=self.resources.get("gpu", 0),
            resources=own, max_restarts=-1, max_task_retries=TRIES - 1,
        )  # fmt: skip
        self._actors = [actor.remote(self.opening) for _ in range(self.workers)]

    def _join_or_start(self, ray: Any, quiet: Mapping[str, Any]) -> None:
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            cores = max(self.workers, os.cpu_count() or 1)
            ray.init(num_cpus=cores, include_dashboard=False, **quiet)

    def specs(self, plan: Plan) -> list[list[RunSpec]]:
        """The measurements of a plan, as the first worker to answer sees them.

        Raises:
            UsageError: the model cannot be loaded on a worker.
        """
        import ray

        try:
            found: list[list[RunSpec]] = ray.get(self._actors[0].specs.remote(plan))
        except (ray.exceptions.RayActorError, ray.exceptions.RayTaskError) as problem:
            raise UsageError(f"no worker could load the model: {_last_line(problem)}") from problem
        return found

    def run(self, cells: Sequence[Cell], out: Path, progress: Progress) -> dict[str, str]:
        """Give every free worker the next cell until all are done; see `local.Local.run`."""
        import ray

        out, ledger, failures = out.resolve(), Ledger(out), dict[str, str]()
        waiting, free = list(cells), list(self._actors)
        held: dict[Any, tuple[Cell, Any]] = {}
        while waiting or held:
            while waiting and free:
                cell, actor = waiting.pop(0), free.pop()
                held[actor.run.remote(cell, out)] = cell, actor
                progress.now(cell.name)
            (ready, *_), _ = ray.wait(list(held))
            cell, actor = held.pop(ready)
            free.append(actor)
            try:
                reason = ray.get(ready)
            except (ray.exceptions.RayActorError, ray.exceptions.RayTaskError) as problem:
                reason = f"failed {TRIES} times: {_last_line(problem)}"
            if reason is not None:
                failures[cell.name] = reason
                ledger.failed(cell, reason)
            progress.done()
        return failures


def _last_line(problem: BaseException) -> str:
    return next(iter(reversed(str(problem).strip().splitlines())), type(problem).__name__).strip()
