"""Cells shared out among the processes of one launch (`accelerate launch`, `torchrun`).

Each process has its own copy of the model and takes every n-th cell, so that a cell is the same
work as in one process and its numbers are the same. Processes wait for one another between the
cells that tune and those that measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch.distributed

from harness.comparing.local import Local

if TYPE_CHECKING:
    from harness.comparing.cells import Cell
    from harness.comparing.grid import Progress

WAIT = timedelta(days=30)
"""A process may wait as long as another one's cells take."""


@dataclass
class Launched(Local):
    """Runs its share of the cells; every process of the launch makes one."""

    def __post_init__(self) -> None:
        """Meet the other processes."""
        torch.distributed.init_process_group("gloo", timeout=WAIT)
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    @property
    def leads(self) -> bool:
        """Whether this process plans, shows and reports."""
        return self.rank == 0

    def run(self, cells: Sequence[Cell], out: Path, progress: Progress) -> dict[str, str]:
        """Run this process's cells and wait for those of the others; reasons of all failures."""
        torch.distributed.barrier()  # the plan is written
        # what is missing is decided by one process: a cell that another one has just finished
        # would otherwise shift everybody's share
        shared = [list(cells)]
        torch.distributed.broadcast_object_list(shared, src=0)
        own = super().run(shared[0][self.rank :: self.size], out, progress)
        every: list[dict[str, str]] = [{}] * self.size
        torch.distributed.all_gather_object(every, own)
        return {name: reason for failures in every for name, reason in failures.items()}
