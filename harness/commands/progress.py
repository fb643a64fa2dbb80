"""What a person, or a log, sees while a command works (`harness.comparing.grid.Progress`)."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

EVERY = 30.0
"""Seconds between two lines at the most."""


def display(*, quiet: bool = False) -> Bars | Lines:
    """Bars on a terminal, lines elsewhere, on the standard error stream.

    Args:
        quiet: Show nothing: another process of the launch does.
    """
    if quiet:
        return Lines(io.StringIO())
    return Bars() if sys.stderr.isatty() else Lines(sys.stderr)


class Bars:
    """A bar for each phase."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[what]}", style="dim", markup=False),
            console=Console(stderr=True),
        )  # fmt: skip
        self._phase = TaskID(0)

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(self, mistake: object = None, *_: object) -> None:
        """Leave them as they stand; after a mistake only its message remains."""
        self._progress.live.transient = mistake is not None
        self._progress.stop()

    def begin(self, phase: str, total: int | None = None) -> None:
        """Add a bar."""
        self._phase = self._progress.add_task(phase, total=total, what="")

    def now(self, what: str) -> None:
        """Say what is being worked on."""
        self._progress.update(self._phase, what=what)

    def done(self, steps: int = 1) -> None:
        """Move the bar."""
        self._progress.update(self._phase, advance=steps)


class Lines:
    """A line when a phase begins, and whenever nothing was said for half a minute.

    Args:
        stream: Where lines go.
        every: Seconds between two lines at the most.
    """

    def __init__(self, stream: TextIO, every: float = EVERY) -> None:
        self._stream, self._every = stream, every
        self._phase: str | None = None
        self._total: int | None = None
        self._done, self._what, self._started, self._said = 0, "", 0.0, 0.0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep_saying, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch the clock."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Fall silent."""
        self._over.set()
        self._thread.join()

    def begin(self, phase: str, total: int | None = None) -> None:
        """Say that a phase begins."""
        with self._lock:
            self._phase, self._total, self._done, self._what = phase, total, 0, ""
            self._started = time.monotonic()
            self._say()

    def now(self, what: str) -> None:
        """Keep what is being worked on for the next line."""
        with self._lock:
            self._what = what

    def done(self, steps: int = 1) -> None:
        """Count."""
        with self._lock:
            self._done += steps

    def _keep_saying(self) -> None:
        while not self._over.wait(min(1.0, self._every)):
            with self._lock:
                if self._phase and time.monotonic() - self._said >= self._every:
                    self._say()

    def _say(self) -> None:
        """`tuning: 3 of 12, 80 s, about 240 s left, antonym fv`."""
        self._said = time.monotonic()
        spent = self._said - self._started
        parts = [] if self._total is None else [f"{self._done} of {self._total}"]
        if spent >= 1:
            parts.append(f"{spent:.0f} s")
        if self._total and self._done:
            parts.append(f"about {spent / self._done * (self._total - self._done):.0f} s left")
        text = ", ".join([*parts, *filter(None, [self._what])])
        print(f"{self._phase}: {text or '...'}", file=self._stream, flush=True)
