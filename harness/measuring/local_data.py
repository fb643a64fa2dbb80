"""Documents from files of one's own, in place of those that a task takes from the hub."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, one_line
from task_defs.files import are_objects, json_values, kind_of, objects_inside, read_text
from task_defs.tables import TABLES, cells, quoting, separated

if TYPE_CHECKING:
    from datasets import Dataset

ROLES = {"train": "training_split", "validation": "validation_split", "test": "test_split"}
"""What a split is for, and the key of a task's configuration that names it."""

OTHER_NAMES = {"dev": "validation", "val": "validation", "valid": "validation"}
LIMIT = 2**30
"""Bytes of a file of JSON or of a table."""

KINDS = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt")
TEXT = "text"
"""The field of a line of plain text, as `datasets` names it."""

FAULTS = (OSError, ValueError, TypeError, RecursionError, csv.Error)
"""What reading a file may raise, beside what pyarrow does."""

EXPECTED = f"a file ({', '.join(KINDS)}) or a folder of them, or one made by save_to_disk"


def read(path: Path) -> dict[str, Dataset]:
    """Documents by role; those of a single file have none and stand under an empty name.

    Args:
        path: A file; or a folder that `save_to_disk` wrote, or whose files' names begin with the
            role of their documents (train, validation or dev, test).

    Raises:
        UsageError: nothing there can be read; the message names the file.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; expected {EXPECTED}")
    if not path.is_dir():
        return {"": _file(path)}
    import datasets

    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        try:
            found = datasets.load_from_disk(str(path))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise UsageError(f"{path}: cannot be loaded ({one_line(problem)})") from problem
        if isinstance(found, datasets.Dataset):
            return {"": found}
        return {_role(name) or name: part for name, part in found.items()}
    files = [each for each in sorted(path.iterdir()) if kind_of(each) in KINDS]
    by_role = {role: each for each in files if (role := _role(each.stem))}
    if not by_role:
        raise UsageError(
            f"{path}: no documents there; expected files whose names begin with train, validation "
            f"or test and end in {', '.join(KINDS)}, or a folder that save_to_disk wrote"
        )
    return {role: _file(each) for role, each in by_role.items()}


def _role(name: str) -> str | None:
    word = re.split(r"[^a-z]", name.lower())[0]
    role = OTHER_NAMES.get(word, word)
    return role if role in ROLES else None


def _file(path: Path) -> Dataset:
    import datasets
    import pandas as pd
    import pyarrow as pa

    try:
        kind = kind_of(path)
        if kind == ".parquet":
            return datasets.Dataset.from_pandas(pd.read_parquet(path), preserve_index=False)
        if kind in TABLES:
            sign, text = separated(kind, read_text(path, LIMIT))
            _check_widths(text, sign)
            quotes, file = quoting(text, sign), io.StringIO(text, newline="")
            table = pd.read_csv(file, sep=sign, quoting=quotes, keep_default_na=False)
            return datasets.Dataset.from_pandas(table, preserve_index=False)
        if kind == ".txt":
            lines = read_text(path, LIMIT).split("\n")  # a form feed or U+2028 ends no line
            found = [own for line in lines if (own := line.removesuffix("\r")).strip()]
            if not found:
                raise ValueError("expected lines of text, found none")
            return datasets.Dataset.from_dict({TEXT: found})
        if kind in (".json", ".jsonl"):
            rows = _labelled(_objects(path))
            keys = dict.fromkeys(key for row in rows for key in row)
            return datasets.Dataset.from_dict({key: [r.get(key) for r in rows] for key in keys})
    except (*FAULTS, pa.ArrowException) as problem:
        raise UsageError(
            f"{path}: cannot be read as {path.suffix} ({one_line(problem)})"
        ) from problem
    raise UsageError(f"{path}: documents of an unknown kind; expected {EXPECTED}")


def _objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON list, of JSON lines, or of the one list inside an object."""
    content: Any = [value for _, value in json_values(read_text(path, LIMIT))]
    if len(content) == 1 and isinstance(content[0], dict):
        if content[0] and all(isinstance(part, dict) for part in content[0].values()):
            raise ValueError("columns; expected rows, which pandas writes with orient='records'")
        content = objects_inside(content[0]) or content
    if not are_objects(content):
        raise ValueError("expected objects: a JSON list, JSON lines, or an object that holds one")
    found: list[dict[str, Any]] = content
    return found


def _check_widths(text: str, sign: str) -> None:
    """Refuse rows that are longer or shorter than the header: pandas would move their cells."""
    width = 0
    for line, found in cells(text, sign):
        width = width or len(found)
        if any(map(str.strip, found)) and len(found) != width:
            raise ValueError(f"line {line}: {len(found)} cells, expected {width} as in the first")


def _labelled(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with texts that are labelled 0 or 1 as lists of choices and labels.

    Columns have one type in a data set, and such a mapping's keys differ from row to row
    (TruthfulQA's own file; its hub copy has the lists).
    """
    own = {
        key
        for key, value in rows[0].items()
        if _labels(value)
        and any(_labels(r.get(key)) and r[key].keys() != value.keys() for r in rows)
    }
    return [
        {
            key: {"choices": list(value), "labels": list(value.values())} if key in own else value
            for key, value in row.items()
        }
        for row in rows
    ]


def _labels(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and set(value.values()) <= {0, 1}


def relocated(config: Mapping[str, Any], parts: Mapping[str, Dataset]) -> dict[str, Any]:
    """A task's configuration with documents of one's own; splits that they lack are gone.

    Args:
        config: The task's YAML.
        parts: Documents by role; those without one are what the task asks.
    """
    from datasets import DatasetDict

    own: dict[str, Any] = dict(config)
    asked = (
        "test" if config.get("test_split") or not config.get("validation_split") else "validation"
    )
    by_role = {role or asked: _spelled(part, config) for role, part in parts.items()}
    splits = {}
    for role, key in ROLES.items():
        own[key] = (config.get(key) or role) if role in by_role else None
        if own[key]:
            splits[own[key]] = by_role[role]
    if not own["test_split"] and not own["validation_split"]:
        raise UsageError(
            f"--dataset {config.get('task')}: documents for {', '.join(by_role)} only, none that "
            "are asked; give a test or validation file too"
        )
    shown = own["training_split"] or own["validation_split"] or own["test_split"]
    if config.get("fewshot_split") not in (None, *splits):
        own["fewshot_split"] = shown
    few = config.get("fewshot_config")
    if isinstance(few, dict) and few.get("split") not in (None, *splits):
        own["fewshot_config"] = {**few, "split": shown}
    own["custom_dataset"] = lambda **_: DatasetDict(splits)
    return own


def _spelled(part: Dataset, config: Mapping[str, Any]) -> Dataset:
    """Plain text, under the name too by which a task knows its own (wikitext: page)."""
    named = re.fullmatch(r"{{\s*(\w+)\s*}}", str(config.get("doc_to_decontamination_query")))
    if named is None or part.column_names != [TEXT] or named[1] == TEXT:
        return part
    return part.add_column(named[1], part[TEXT])
