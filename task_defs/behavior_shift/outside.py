"""Texts with a label that are no documents of a task: written for judges, or from elsewhere.

An outside file is one of

* JSON lines of `{"text": ..., "label": 0 or 1}`, 1 for the wanted style;
* JSON lines of `{"input": unwanted, "output": wanted}`, as tasks have them;
* a table (`.tsv`, `.csv`) with a header: the columns `text` and `label`, or an unwanted text in the
  first column and wanted ones in the others, empty cells left out (as ParaDetox is published);
* tab-separated lines whose file's name ends in `.0` or `.1`, as Yelp's and other style data are
  published: the ending is the label of the first column, other columns have the other label.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from .texts import DATA, BadBehaviour, Labelled, words

LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
TABLES = {".tsv": "\t", ".csv": ","}
EXPECTED = (
    'expected lines of {"text", "label"} or {"input", "output"} in JSON, a .tsv or .csv table with '
    "a header (text and label, or unwanted and wanted), or tab-separated lines in a file that "
    "ends in .0 or .1; labels are 0 and 1, 1 for the wanted style"
)


def written_for(task: str) -> list[Labelled]:
    """Return what was written for the judges of a built-in task; nothing for other tasks."""
    path = DATA / "judge" / f"{task}.jsonl"
    return read_labelled(path) if path.is_file() else []


def read_labelled(path: Path) -> list[Labelled]:
    """Read an outside file; texts without a word are left out.

    Raises:
        BadBehaviour: A file of another kind, or with one style only; the message names the line.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadBehaviour(f"{path}: cannot be read: {error}") from error
    if path.suffix in (".0", ".1"):
        rows = _columns(content, int(path.suffix[1]))
    elif path.suffix in TABLES:
        rows = _table(path, content, TABLES[path.suffix])
    else:
        rows = _json(path, content)
    found = [(text.strip(), label) for text, label in rows if words(text)]
    if {label for _, label in found} != {0, 1}:
        raise BadBehaviour(f"{path}: {len(found)} texts, not of both styles; {EXPECTED}")
    return found


def _columns(content: str, first: int) -> Iterator[Labelled]:
    for line in content.splitlines():
        for place, text in enumerate(line.split("\t")):
            yield text, first if place == 0 else 1 - first


def _table(path: Path, content: str, delimiter: str) -> Iterator[Labelled]:
    if delimiter == "\t":  # published ones do not quote: a quotation mark is text
        rows = [line.split(delimiter) for line in content.splitlines()]
    else:
        rows = list(csv.reader(io.StringIO(content), delimiter=delimiter))
    header = [name.strip().casefold() for name in rows[0]] if rows else []
    if {"text", "label"} <= {*header}:
        text, label = header.index("text"), header.index("label")
        for number, row in enumerate(rows[1:], 2):
            if len(row) <= max(text, label):
                raise BadBehaviour(f"{path} line {number}: too few columns; {EXPECTED}")
            yield row[text], _label(path, number, row[label])
    else:
        for row in rows[1:]:
            for place, cell in enumerate(row):
                yield cell, min(place, 1)


def _json(path: Path, content: str) -> Iterator[Labelled]:
    for number, line in enumerate(content.splitlines(), 1):
        try:
            item = json.loads(line)
            if "text" in item:
                yield str(item["text"]), _label(path, number, str(item["label"]))
            else:
                yield str(item["input"]), 0
                yield str(item["output"]), 1
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, BadBehaviour):
                raise
            raise BadBehaviour(f"{path} line {number}: {line[:60]!r}; {EXPECTED}") from error


def _label(path: Path, number: int, given: str) -> int:
    label = LABELS.get(given.strip().casefold())
    if label is None:
        raise BadBehaviour(f"{path} line {number}: label {given!r}; {EXPECTED}")
    return label
