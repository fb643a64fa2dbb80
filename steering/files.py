"""Files that may come from anywhere: ordinary ones, of bounded size, read once.

A device, a pipe or a link to one has no end, and a file's own words about sizes are not to be
believed; so the kind and the size are asked of the system before a byte is read.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from steering.errors import BadVector

LIMIT = 20 * 2**20
"""Bytes of a file: a float32 vector at each of 126 layers of width 16384 takes 8 MiB."""

VALUES = 2**20
"""Numbers in a text file; Python takes some 32 bytes for each."""

NESTED = 10_000
LARGEST = 3.4028234663852886e38
"""The largest float32: what is beyond is infinite in a model."""


def read_bounded(path: Path, limit: int = LIMIT) -> bytes:
    """The whole content of an ordinary file.

    Raises:
        BadVector: no such file, not an ordinary one, larger than `limit` bytes, or unreadable.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe does not wait
    except (OSError, ValueError) as error:
        raise BadVector(f"{path}: cannot be read: {_reason(error)}") from error
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise BadVector(f"{path}: not an ordinary file; give the file of a steering vector")
        if facts.st_size > limit:
            raise BadVector(
                f"{path}: {facts.st_size} bytes, expected at most {limit} for a steering vector"
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadVector(f"{path}: cannot be read: {_reason(error)}") from error
    finally:
        os.close(handle)
    if len(content) > limit:
        raise BadVector(f"{path}: grew beyond {limit} bytes while it was read")
    return content


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; one that the system cannot even look up is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def parse_json(content: bytes, path: Path) -> Any:
    """The value of a JSON text whose size in memory is bounded before it is parsed.

    Raises:
        BadVector: not JSON, NaN or infinity in it, or too many values.
    """
    if content.count(b",") > VALUES or content.count(b"[") + content.count(b"{") > NESTED:
        raise BadVector(f"{path}: more than {VALUES} values or {NESTED} lists; not a vector")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadVector(f"{path}: cannot be read as JSON: {_reason(error)}") from error


def number(value: Any, what: str) -> float:
    """A finite number that a float32 can hold.

    Raises:
        BadVector: anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return float(value)
    shown = f"{value!r:.40}" if isinstance(value, float | str) else type(value).__name__
    if isinstance(value, int) and not isinstance(value, bool):
        shown = f"a whole number of {math.ceil(value.bit_length() * 0.30103)} digits"
    raise BadVector(f"{what} is {shown}, expected a finite number within float32")


def whole(value: Any, what: str, below: int = 10_000) -> int:
    """A whole number from 0.

    Raises:
        BadVector: anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below:
        return value
    shown = value if isinstance(value, int) and abs(value) < 10**12 else type(value).__name__
    raise BadVector(f"{what} is {shown}, expected a whole number from 0 to {below - 1}")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return " ".join(str(reason or error).split()) or type(error).__name__
