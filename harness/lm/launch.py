"""One process among those of a launch (`accelerate launch`, `torchrun`), with its own model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

LAUNCH = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def processes() -> int:
    """How many processes this launch has; 1 without one."""
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """Which process of its machine this is, from 0."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise


@contextmanager
def alone() -> Iterator[None]:
    """Let libraries believe that this is the only process: cells are shared out, not rows."""
    names = [n for n in os.environ if n in LAUNCH or n.startswith("ACCELERATE_")]
    held = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(held)
