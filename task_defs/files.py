"""Files that may come from anywhere: ordinary ones of bounded size, and the JSON values in them.

A device, a pipe or a link to one has no end; so the kind and the size of a file are asked of the
system before a byte is read.
"""

import gzip
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIMIT = 64 * 2**20
"""Bytes of a file, unless its reader says less."""

GZ = ".gz"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""How UTF-16 text begins, which is half zeros."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: which of its values counts would be a guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"the key {twice[:40]!r} stands twice; keep one")
    return found


_DECODER, _SPACE = json.JSONDecoder(object_pairs_hook=_once), re.compile(r"[ \t\r\n]*")

LONGEST = 1000
"""Characters of a message."""


class Told(ValueError):
    """A mistake in a file, told at a bounded length: what is quoted from a file may be endless."""

    def __init__(self, message: str) -> None:
        """Keep a long message's beginning and end."""
        shown = message if len(message) <= LONGEST else f"{message[:700]} ... {message[-200:]}"
        super().__init__(shown)


class Unreadable(Told):
    """Why a file cannot be read, without its name."""


class Unbounded(Unreadable):
    """A file that no other reader should open either: too large, too deep, or without an end."""


def read_text(path: Path, limit: int = LIMIT) -> str:
    """Return the content of an ordinary UTF-8 file, without a byte order mark.

    A file that ends in `.gz` is decompressed, to as many bytes as a plain one may have.

    Raises:
        Unreadable: With the reason.
    """
    try:
        # A pipe without a writer does not keep us waiting.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts = os.fstat(handle)
            if stat.S_ISDIR(facts.st_mode):
                raise Unreadable("a folder, expected a file")
            if not stat.S_ISREG(facts.st_mode):
                raise Unbounded("not an ordinary file")
            if facts.st_size > limit:
                raise Unbounded(f"{facts.st_size} bytes, expected at most {limit}")
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(facts.st_size + 1)
        finally:
            os.close(handle)
    except FileNotFoundError as error:
        raise Unreadable("no such file") from error
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a path with a zero byte in it
        raise error if isinstance(error, Unreadable) else Unreadable(str(error)) from error
    if len(content) != facts.st_size:
        raise Unreadable("changed while it was read")
    if path.suffix.lower() == GZ:
        content = _decompressed(content, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content[:1000] and content[:2] not in UTF16:
            raise Unreadable("not a text file") from error
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line}: not UTF-8 text; save it as UTF-8") from error


def _decompressed(content: bytes, limit: int) -> bytes:
    """What a gzip file holds, read no further than the limit."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            found = file.read(limit + 1)
    except EOFError as error:
        raise Unreadable("not a whole gzip file") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable(f"not a gzip file ({error})") from error
    if len(found) > limit:
        raise Unbounded(f"more than {limit} bytes when decompressed, expected at most that")
    return found


def kind_of(path: Path) -> str:
    """Return a file's ending in small letters, of a compressed file the one before `.gz`."""
    return Path(path.stem if path.suffix.lower() == GZ else path.name).suffix.lower()


def objects_inside(value: Any) -> list[dict[str, Any]] | None:
    """Return the one list of objects that an object holds; None where there is not one."""
    lists = [part for part in value.values() if are_objects(part)]
    return lists[0] if len(lists) == 1 else None


def are_objects(value: Any) -> bool:
    """Whether a value is a list of objects, and not empty."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def json_values(text: str) -> Iterator[tuple[str, Any]]:
    """Yield each value of JSON lines, of values over several lines, or of one list, with its place.

    A list is read item by item, so that what is no item is refused before the rest is parsed.

    Raises:
        Unreadable: With the place and the reason.
    """
    start = _after_space(text, 0)
    if text[start : start + 1] == "[":
        yield from _items(text, start + 1)
        return
    line, seen = 1, 0
    while start < len(text):
        line, seen = line + text.count("\n", seen, start), start
        value, start = _decode(text, start)
        yield f"line {line}", value
        start = _after_space(text, start)


def _items(text: str, start: int) -> Iterator[tuple[str, Any]]:
    """Yield the items of the list whose bracket stands before `start`."""
    number, start = 0, _after_space(text, start)
    closed = text[start : start + 1] == "]"
    while not closed:
        number += 1
        value, start = _decode(text, start)
        yield f"item {number}", value
        start = _after_space(text, start)
        closed = text[start : start + 1] == "]"
        if not closed:
            if text[start : start + 1] != ",":
                raise Unreadable(f"item {number}: not JSON: expected ',' or ']' after it")
            start = _after_space(text, start + 1)
    if _after_space(text, start + 1) < len(text):
        raise Unreadable(f"item {number}: not JSON: more text after the list")


def _decode(text: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        line = text.count("\n", 0, len(text[: error.pos].rstrip())) + 1  # where the fault begins
        raise Unreadable(f"line {line}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        line, reason = text.count("\n", 0, start) + 1, " ".join(str(error).split())
        raise Unreadable(f"line {line}: not JSON: {reason}") from error


def _after_space(text: str, place: int) -> int:
    """Where the next character is that is not JSON's white space."""
    found = _SPACE.match(text, place)
    return found.end() if found else place
