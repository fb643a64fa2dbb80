"""Files that may come from anywhere: ordinary ones of bounded size, read once, parsed by a schema.

A device, a pipe or a link to one has no end, and JSON can nest until a parser falls: so the kind
and the size of a file are asked of the system before a byte is read, and the parser bounds depth
and digits. What is written appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

LIMIT = 64 * 2**20
"""Bytes of a file, unless its reader says more or less."""

PART = ".part"
"""Ending of a file that is not yet whole."""

ABANDONED = 3600.0
"""Seconds after which a part of another machine counts as left behind."""

T = TypeVar("T")


class BadFile(ValueError):
    """A file that cannot be read, or is not what it should be."""


def read(path: Path, limit: int = LIMIT) -> bytes:
    """The whole content of an ordinary file, without a byte order mark.

    Raises:
        BadFile: no such file, not an ordinary one, larger than `limit` bytes, or unreadable.
    """
    try:
        # A pipe without a writer does not keep us waiting.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise BadFile(f"{path}: not an ordinary file")
            if facts.st_size > limit:
                raise BadFile(f"{path}: {facts.st_size} bytes, expected at most {limit}")
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(facts.st_size + 1)
        finally:
            os.close(handle)
    except (OSError, ValueError) as problem:
        if isinstance(problem, BadFile):
            raise
        raise BadFile(f"{path}: {_reason(problem)}") from problem
    if len(content) != facts.st_size:
        raise BadFile(f"{path}: changed while it was read")
    return content.removeprefix(b"\xef\xbb\xbf")


def parse(content: bytes, shape: TypeAdapter[T], *, unique: bool = False) -> T:
    """JSON as a schema wants it.

    Args:
        content: The text.
        shape: The schema.
        unique: Refuse a key that stands twice in one mapping.

    Raises:
        BadFile: not JSON, or a value of another kind; the message says where, without the file.
    """
    try:
        from_json(content, allow_inf_nan=False)  # parts without a schema hold no NaN either
        if unique:
            json.loads(content, object_pairs_hook=_once)
        return shape.validate_json(content, strict=True)
    except ValidationError as problem:
        raise BadFile(wrong(problem)) from problem
    except ValueError as problem:
        raise BadFile(f"not JSON: {_reason(problem)}") from problem


def load(path: Path, shape: TypeAdapter[T], limit: int = LIMIT, *, unique: bool = False) -> T:
    """Read a JSON file as a schema wants it.

    Raises:
        BadFile: with the file's name and the reason.
    """
    content = read(path, limit)
    try:
        return parse(content, shape, unique=unique)
    except BadFile as problem:
        raise BadFile(f"{path}: {problem}") from problem


def _once(pairs: Sequence[tuple[str, object]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"the key {twice[:80]!r} stands twice; keep one")


def wrong(problem: ValidationError) -> str:
    """The first thing that a schema found wrong, in one line."""
    first, *others = problem.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(map(str, first["loc"])) or "the whole"
    more = f" (and {len(others)} more)" if others else ""
    return " ".join(f"{place}: {first['msg'].removeprefix('Value error, ')}".split())[:400] + more


def write_atomically(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Replace a file in one step; on failure the old one stays and nothing else is left.

    Args:
        path: The file, or a link to it. A device, or a pipe that somebody reads, such as
            /dev/stdout, is written to.
        content: What it will hold; of much that need not be in memory at once, one part after the
            other.

    Raises:
        OSError: with the file's name.
    """
    if isinstance(content, str):
        content = content.encode(errors="replace")
    content = [content] if isinstance(content, bytes) else content
    try:
        if (stream := _stream(path)) is not None:
            with stream:
                stream.writelines(content)
            return
        _replace(Path(os.path.realpath(path)), content)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from problem


def _stream(path: Path) -> BinaryIO | None:
    """What is no file and takes what is written; to a pipe that nobody reads one would wait."""
    if not path.exists() or path.is_file() or path.is_dir():
        return None
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        if problem.errno == errno.ENXIO:
            return None
        raise
    os.set_blocking(handle, True)
    return os.fdopen(handle, "wb")


def _replace(path: Path, content: Iterable[bytes]) -> None:
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """A name beside a path for what is not yet whole; nobody else has it."""
    # A name that the file system takes must not become too long by what is added.
    host = socket.gethostname().replace(".", "-")[:40]
    return path.with_name(f".{path.name[:80]}.{host}.{os.getpid()}.{secrets.token_hex(4)}{PART}")


def abandoned(folder: Path) -> Iterator[Path]:
    """What killed processes left unfinished below a folder."""
    host = socket.gethostname().replace(".", "-")[:40]
    for path in folder.rglob(f".*{PART}"):
        where, pid = path.name.split(".")[-4:-2] if path.name.count(".") > 3 else ("", "")
        with contextlib.suppress(OSError):
            old = time.time() - path.stat().st_mtime > ABANDONED
            if old if where != host or not pid.isdecimal() else not alive(int(pid)):
                yield path


def alive(pid: int) -> bool:
    """Whether a process of this machine is still there."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _reason(problem: Exception) -> str:
    said = problem.strerror if isinstance(problem, OSError) else None
    return " ".join(str(said or problem).split()) or type(problem).__name__
