"""What a comparison is, does and could not do, as files beside its records: for whoever watches.

plan.json            the cells, written before the first one begins
cells/<id>.running   since when, and where
cells/<id>.failed    why, after the last try
"""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import StringConstraints, TypeAdapter
from typing_extensions import TypedDict

from reports.files import BadFile, alive, load, write_atomically
from reports.record import FOLDER, dump

if TYPE_CHECKING:
    from harness.comparing.cells import Cell

PLAN, CELLS = "plan.json", "cells"


Name = Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,80}$")]
"""Part of a file's name."""


class PlannedCell(TypedDict):
    """A cell of a plan."""

    id: Name
    kind: str
    name: str
    runs: list[Name]


class Plan(TypedDict):
    """`plan.json`."""

    cells: list[PlannedCell]


SHAPE = TypeAdapter(Plan)
MARK: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class Ledger:
    """The files of one comparison.

    Attributes:
        out: Its folder.
    """

    out: Path

    def plan(self, cells: Sequence[Cell]) -> None:
        """Write down what will be done, and forget what failed before: it is tried again."""
        entries = [
            {"id": c.id, "kind": c.kind, "name": c.name, "runs": [s.run_id for s in c.specs]}
            for c in cells
        ]
        (self.out / CELLS).mkdir(parents=True, exist_ok=True)
        write_atomically(self.out / PLAN, dump({"cells": entries}, indent=1) + "\n")
        for old in (self.out / CELLS).glob("*.failed"):
            old.unlink(missing_ok=True)

    @contextmanager
    def running(self, cell: Cell) -> Iterator[None]:
        """Note that this process works on a cell; the note outlives an interruption."""
        path = self.out / CELLS / f"{cell.id}.running"
        path.parent.mkdir(parents=True, exist_ok=True)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        where = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
        write_atomically(path, dump(where) + "\n")
        try:
            yield
        except Exception:
            path.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)

    def begun(self, cell: Cell) -> bool:
        """Whether a process began a cell and did not end it."""
        return (self.out / CELLS / f"{cell.id}.running").exists()

    def failed(self, cell: Cell, reason: str) -> None:
        """Note why a cell could not be done."""
        path = self.out / CELLS / f"{cell.id}.failed"
        write_atomically(path, dump({"name": cell.name, "reason": reason}) + "\n")

    def state(self) -> list[dict[str, Any]]:
        """Every planned cell with its `state`: done, running, failed or left.

        A tuning cell counts as done once all its measurements are there or a pass could begin;
        a running mark of a process of this machine that is no more counts for nothing.

        Raises:
            ValueError: the plan cannot be read.
            OSError: there is no plan.
        """
        found = []
        path = self.out / PLAN
        if not path.exists():
            raise FileNotFoundError(f"{path}: no plan")
        for cell in load(path, SHAPE)["cells"]:
            here = sum((self.out / FOLDER / run / "record.json").exists() for run in cell["runs"])
            running = self._mark(cell["id"], "running")
            failed = self._mark(cell["id"], "failed")
            finished = (self.out / CELLS / f"{cell['id']}.done").exists()
            state = "left"
            if here == len(cell["runs"]) or (finished and cell["kind"] == "tuning"):
                state = "done"
            elif failed:
                state = "failed"
            elif running and _alive(running):
                state = "running"
            detail = failed.get("reason") if failed else (running or {}).get("since")
            found.append({**cell, "state": state, "recorded": here, "detail": detail})
        return found

    def planned(self) -> frozenset[str]:
        """Run ids of what the last command in the folder asked for; none without a plan."""
        try:
            plan = load(self.out / PLAN, SHAPE)
        except BadFile:
            return frozenset()
        return frozenset(run for cell in plan["cells"] for run in cell["runs"])

    def finished(self, cell: Cell) -> None:
        """Note that a cell's searches and vectors are all there."""
        (self.out / CELLS / f"{cell.id}.done").touch()

    def failures(self) -> dict[str, str]:
        """Why cells could not be done, by name."""
        marks = [self._mark(p.stem, "failed") for p in (self.out / CELLS).glob("*.failed")]
        return {str(mark.get("name")): str(mark.get("reason")) for mark in marks if mark}

    def _mark(self, cell: str, kind: str) -> dict[str, Any]:
        try:
            return load(self.out / CELLS / f"{cell}.{kind}", MARK)
        except BadFile:
            return {}


def _alive(mark: dict[str, Any]) -> bool:
    """Whether the process of a running mark may still be there."""
    if mark.get("host") != socket.gethostname():
        return True
    pid = mark.get("pid")
    return isinstance(pid, int) and alive(pid)
