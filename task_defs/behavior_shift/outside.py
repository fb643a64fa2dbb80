"""Texts with a label that are no documents of a task: written for judges, or from elsewhere.

An outside file is one of

* JSON of `{"text": ..., "label": 0 or 1}`, 1 for the wanted style, in lines or one list;
* JSON of `{"input": unwanted, "output": wanted}`, as tasks have them;
* a table (`.tsv`, `.csv`) with a header: the columns `text` and `label`, or an unwanted text in the
  first column and wanted ones in the others, empty cells left out (as ParaDetox is published);
* tab-separated lines whose file's name ends in `.0` or `.1`, as Yelp's and other style data are
  published: the ending is the label of the first column, other columns have the other label.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .texts import DATA, BadBehaviour, Labelled, text, words

if TYPE_CHECKING:
    from task_defs.files import Unreadable, json_values, kind_of, read_text
    from task_defs.tables import TABLES, separated
else:  # the folder above, by the package name that `utils` makes
    from .files import Unreadable, json_values, kind_of, read_text
    from .tables import TABLES, separated

LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
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
        found = [(each.strip(), label) for each, label in _labelled(path) if words(each)]
    except (Unreadable, csv.Error) as error:
        raise BadBehaviour(f"{path}: {error}") from error
    if {label for _, label in found} != {0, 1}:
        raise BadBehaviour(f"{path}: {len(found)} texts, not of both styles; {EXPECTED}")
    return found


def _labelled(path: Path) -> Iterator[Labelled]:
    content = read_text(path)
    if path.suffix in (".0", ".1"):
        return _columns(content, int(path.suffix[1]))
    kind = kind_of(path)
    return _table(*separated(kind, content)) if kind in TABLES else _json(content)


def _lines(content: str) -> list[str]:
    """Lines as editors end them; other separators, such as U+2028, belong to a text."""
    return re.split(r"\r\n?|\n", content)


def _columns(content: str, first: int) -> Iterator[Labelled]:
    for line in _lines(content):
        for place, each in enumerate(line.split("\t")):
            yield each, first if place == 0 else 1 - first


def _table(delimiter: str, content: str) -> Iterator[Labelled]:
    if delimiter == "\t":  # published ones do not quote: a quotation mark is text
        rows = [line.split(delimiter) for line in _lines(content)]
    else:
        rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter))
    header = [name.strip().casefold() for name in rows[0]] if rows else []
    labelled = {"text", "label"} <= {*header}
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if not labelled:
            yield from ((cell, min(place, 1)) for place, cell in enumerate(row))
            continue
        places = header.index("text"), header.index("label")
        if len(row) <= max(places):
            raise Unreadable(f"line {number}: too few columns; {EXPECTED}")
        yield row[places[0]], _label(f"line {number}", row[places[1]])


def _json(content: str) -> Iterator[Labelled]:
    for place, item in json_values(content):
        single = isinstance(item, dict) and "text" in item and "label" in item
        found = [text(item, key) for key in (("text",) if single else ("input", "output"))]
        if not all(found):
            raise Unreadable(f"{place}: {json.dumps(item)[:60]}; {EXPECTED}")
        labels = [_label(place, str(item["label"]))] if single else [0, 1]
        yield from zip(found, labels, strict=True)


def _label(place: str, given: str) -> int:
    label = LABELS.get(given.strip().casefold())
    if label is None:
        raise Unreadable(f"{place}: label {given[:40]!r}; {EXPECTED}")
    return label
