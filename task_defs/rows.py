"""Rows of a user's own file: an input, its answers, and its wrong answers where there are any.

JSON (a list or lines of objects, or an object that holds one list of them), or a table: `.csv`,
`.tsv` and `.parquet` with a header, or lines with tabs and without one, as Yelp's are published;
any of the texts may be compressed (`.gz`). Fields are told by name, behind the file and a colon:

    pairs.csv:question,answer          an input and its answer
    paradetox.tsv:toxic,neutral*       several answers to one input: empty cells are left out
    ab.jsonl:question,yes,no           an input, the wanted answer, the other one
    reference.0:1,2                    columns by number, of a table without a header
"""

import csv
import fnmatch
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .files import Unreadable, json_values, kind_of, objects_inside, read_text
from .tables import TABLES, cells, separated

PARQUET = ".parquet"
DEFAULT = "input,output"
OBJECT = 'an object with two texts, {"input": "hot", "output": "cold"}'


Sound = Callable[[str], Any]
"""Gives nothing for what counts as no text."""


class Row(NamedTuple):
    """One document.

    Attributes:
        input: What is asked.
        outputs: Its answers; the first one is asked for.
        wrong: Wrong answers; empty where the file has none.
    """

    input: str
    outputs: tuple[str, ...]
    wrong: tuple[str, ...]


def fields_of(text: str) -> tuple[Path, str | None]:
    """Return the file and the fields of `FILE` or `FILE:FIELDS`."""
    path, colon, fields = text.rpartition(":")
    if colon and not Path(text).exists() and "/" not in fields:
        return Path(path), fields
    return Path(text), None


def read_rows(path: Path, fields: str | None = None, sound: Sound = str.strip) -> tuple[Row, ...]:
    """Read a file, once as long as it does not change.

    Args:
        path: The file.
        fields: `INPUT,OUTPUT` or `INPUT,OUTPUT,WRONG`; None takes `input` and `output`, or of a
            table without those its first column and the others, if these are of one kind.
        sound: Gives nothing for what counts as no text, which is left out like an empty cell.

    Raises:
        Unreadable: With the place and the reason, without the file's name.
    """
    try:
        facts = path.stat()
        stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    except (OSError, ValueError):
        stamp = (0, 0, 0)  # the reader says why
    return _read(path, fields, sound, stamp)


@functools.lru_cache(maxsize=8)
def _read(
    path: Path, fields: str | None, sound: Sound, _stamp: tuple[int, int, int]
) -> tuple[Row, ...]:
    named = [each.strip() for each in (fields or "").split(",")] if fields is not None else []
    if fields is not None and (len(named) not in (2, 3) or not all(named)):
        raise Unreadable(f"fields {fields!r}: expected INPUT,OUTPUT or INPUT,OUTPUT,WRONG")
    kind = kind_of(path)
    if kind == PARQUET:
        return tuple(_columns(path, named, sound))
    text = read_text(path)
    if not text.strip():
        raise Unreadable("the file is empty")
    return tuple(_rows(kind, text, named, sound))


def _columns(path: Path, named: list[str], sound: Sound) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        items = table.to_pylist()
    except (OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        raise Unreadable(f"cannot be read as parquet: {said:.200}") from error
    named = named or _guessed(table.column_names)
    for number, item in enumerate(items, 1):
        yield _row(f"row {number}", item, named, sound)


def _rows(kind: str, text: str, named: list[str], sound: Sound) -> Iterator[Row]:
    tabs = "\t" in _first_line(text)
    if kind not in TABLES and (not tabs or text.lstrip()[:1] in ("[", "{")):
        wanted = named or DEFAULT.split(",")
        for place, item in _items(text, wanted):
            yield _row(place, item, wanted, sound)
        return
    sign, text = separated(kind, text)
    by_number = bool(named) and all(name.isdigit() for name in named)
    if kind not in TABLES and not named:
        named, by_number = ["1", "2"], True  # lines with tabs: no header
    table = cells(text, sign)
    try:
        _, first = next(table)
        header = [name.strip() for name in first]
        if by_number:
            columns = [str(number) for number in range(1, len(header) + 1)]
            yield _row("line 1", dict(zip(columns, header, strict=True)), named, sound)
        else:
            columns = header
            named = named or _guessed(columns)
        if twice := next((name for name in named if columns.count(name) > 1), None):
            raise Unreadable(f"line 1: the column {twice[:40]!r} stands twice; keep one")
        for line, found in table:
            if any(cell.strip() for cell in found):
                if len(found) != len(columns):
                    raise Unreadable(
                        f"line {line}: {len(found)} cells, expected {len(columns)} as in line 1"
                    )
                yield _row(f"line {line}", dict(zip(columns, found, strict=True)), named, sound)
    except csv.Error as error:
        raise Unreadable(f"not a table: {error}") from error


def _items(text: str, wanted: list[str]) -> Iterator[tuple[str, Any]]:
    """The objects of a file; of one that has none of the fields, those of its one list."""
    for place, value in json_values(text):
        known = not isinstance(value, dict) or any(_keys(value, name) for name in wanted)
        inside = None if known else objects_inside(value)
        if inside is None:
            yield place, value
        for number, item in enumerate(inside or (), 1):
            yield f"item {number}", item


def _first_line(text: str) -> str:
    return text.lstrip("\n").partition("\n")[0]


def _guessed(columns: list[str]) -> list[str]:
    """The fields of a table whose header names none of ours."""
    if {"input", "output"} <= set(columns):
        return DEFAULT.split(",")
    kinds = {re.sub(r"\d+$", "", name) for name in columns[1:]}
    if len(columns) < 2 or len(kinds) != 1:
        raise Unreadable(
            f"line 1: columns {', '.join(columns)[:200]}; say which to take: FILE:INPUT,OUTPUT"
        )
    return [columns[0], columns[1] if len(columns) == 2 else f"{kinds.pop()}*"]


def _row(place: str, item: Any, named: list[str], sound: Sound) -> Row:
    if not isinstance(item, Mapping):
        raise Unreadable(f"{place}: expected {_expected(named)}, found {_shown(item)}")
    asked, *others = (_texts(item, name, sound) for name in named)
    outputs, wrong = others[0], others[1] if len(others) > 1 else ()
    if len(asked) != 1 or not outputs or (len(others) > 1 and not wrong):
        more = "; or say which to take: FILE:INPUT,OUTPUT" if named == DEFAULT.split(",") else ""
        raise Unreadable(f"{place}: expected {_expected(named)}, found {_shown(item)}{more}")
    return Row(asked[0], outputs, wrong)


def _texts(item: Mapping[str, Any], name: str, sound: Sound) -> tuple[str, ...]:
    """The texts of a field, of several by a pattern, or of a list; empty if one is no text."""
    found: list[str] = []
    for key in _keys(item, name):
        values = item[key] if isinstance(item[key], list) else [item[key]]
        if not all(isinstance(value, str) and _whole(value) for value in values):
            return ()
        found += [value.strip() for value in values if sound(value)]
    return tuple(dict.fromkeys(found))


def _keys(item: Mapping[str, Any], name: str) -> list[str]:
    return [name] if name in item else [k for k in item if fnmatch.fnmatchcase(str(k), name)]


def _whole(text: str) -> bool:
    """Whether a text can be written down: half of a surrogate pair cannot."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _expected(named: list[str]) -> str:
    if named == DEFAULT.split(","):
        return OBJECT
    return f"texts in {', '.join(named)}"


def _shown(item: Any) -> str:
    text = json.dumps(item, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
