"""A user's own file as a task: pairs, choices of answers, or style data (`rows` reads them)."""

import functools
import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from task_defs.catalog import Config, with_behaviour, with_pairs
from task_defs.examples_of import examples_from
from task_defs.files import GZ, Told, Unreadable
from task_defs.precision import utils
from task_defs.rendering import Examples
from task_defs.rows import OBJECT, Row, fields_of, read_rows
from task_defs.schema import wrong_name


class BadPairs(Told):
    """A pairs file that cannot become a task."""


def rows_of(path: Path, fields: str | None = None) -> tuple[Row, ...]:
    """Read a file of pairs or choices.

    Raises:
        BadPairs: If the file is missing, empty or malformed; the message names the line or item.
    """
    what = f"objects with {fields}" if fields else OBJECT
    more = f"; expected {what}, as JSON lines or one JSON list, or a table (.csv, .tsv, .parquet)"
    try:
        rows = read_rows(path, fields)
    except Unreadable as error:
        said = str(error)
        place = " " if said.startswith(("line ", "item ")) else ": "
        clear = "expected" in said or (fields and "not JSON" not in said and "not a t" not in said)
        raise BadPairs(f"{path}{place}{said}{'' if clear else more}") from error
    if not rows:
        raise BadPairs(f"{path}: no pairs{more}")
    return rows


@functools.lru_cache(maxsize=8)
def _split(rows: tuple[Row, ...], largest: int, apart: bool) -> dict[str, list[tuple[str, str]]]:
    """Split a file once: 200,000 pairs take seconds."""
    return utils.split([(row.input, row.outputs[0]) for row in rows], largest, apart=apart)


def load(
    *,
    file: str,
    fields: str | None = None,
    shots: int = 10,
    config_source: str = "inline",
    largest: int = 60,
    apart: bool = True,
    **_: object,
) -> Any:
    """Return a user's file as split documents; lm-eval calls it for a task on one.

    Args:
        file: The pairs file; a relative one is looked for beside the YAML file first.
        fields: Which of its fields are taken (`rows.read_rows`).
        shots: Demonstrations per few-shot prompt, which the train split must provide.
        config_source: The YAML file, as lm-eval puts it into a task's metadata.
        largest: The most pairs of the test split.
        apart: Keep pairs that share a word in one split.
    """
    beside = Path(config_source).parent / file
    path = beside if config_source != "inline" and beside.is_file() else Path(file)
    rows = rows_of(path, fields)
    parts = _split(rows, largest, apart)
    if len(parts["train"]) <= int(shots):
        raise BadPairs(
            f"{path}: {len(rows)} pairs leave {len(parts['train'])} for training, expected more "
            f"than {shots} for {shots} shots; add pairs or lower shots in the task's metadata"
        )
    for name in ("validation", "test"):
        if not parts[name]:
            raise BadPairs(
                f"{path}: no pairs for the {name} split, since shared words join the pairs and "
                "must not straddle; add pairs with words of their own"
            )
    from datasets import Dataset, DatasetDict  # half a second, and most callers need no documents

    by_input = {row.input: row for row in reversed(rows)}  # of equal inputs the first one
    several = any(len(row.outputs) > 1 for row in rows)
    documents = {
        name: [_document(by_input[x], several=several) for x, _ in part]
        for name, part in parts.items()
    }
    return DatasetDict({name: Dataset.from_list(part) for name, part in documents.items()})


def _document(row: Row, *, several: bool) -> dict[str, Any]:
    """A row as lm-eval's document; choices stand in an order that tells nothing."""
    document: dict[str, Any] = {"input": row.input, "output": row.outputs[0]}
    if several:
        document["references"] = list(row.outputs)
    if row.wrong:
        choices = [row.outputs[0], *(text for text in row.wrong if text != row.outputs[0])]
        choices.sort(key=lambda text: hashlib.sha256(f"{row.input} {text}".encode()).digest())
        document |= {"choices": choices, "label": choices.index(row.outputs[0])}
    return document


class Given(NamedTuple):
    """A user's file, as it was given.

    Attributes:
        name: Of its task.
        path: Where it lies.
        fields: Which of its fields are taken; None takes the usual ones.
        behaviour: Whether it is style data: a task of the behaviour suite.
    """

    name: str
    path: Path
    fields: str | None = None
    behaviour: bool = False

    def task(self, shots: int | None = None, largest: int = 60) -> Config:
        """Return its task for `simple_evaluate(tasks=[...])`.

        Raises:
            ValueError: If the file cannot become a task.
        """
        if reason := wrong_name(self.name):
            raise BadPairs(f"{self.path}: {self.name[:40]!r} cannot name a task: {reason}; rename")
        path = self.path.resolve()
        told = {} if shots is None else {"metadata": {"shots": shots}}
        if self.behaviour:
            file = f"{path}:{self.fields}" if self.fields else str(path)
            given = {"task": self.name, "dataset_kwargs": {"file": file, "largest": largest}}
            return with_behaviour({**given, **told}, functions=True)
        settings: Config = {"file": str(path), "largest": largest}
        settings |= {"fields": self.fields} if self.fields else {}
        made = with_pairs({"task": self.name, "dataset_kwargs": settings, **told}, functions=True)
        load(shots=int(made["metadata"]["shots"]), **settings)
        return made


def given(text: str, behaviour: bool = False) -> Given:
    """Read `FILE`, `FILE:FIELDS` or either behind `NAME=`.

    Raises:
        BadPairs: If there is no such file.
    """
    name, equals, rest = text.partition("=")
    named = bool(equals) and not Path(text).exists() and wrong_name(name) is None
    path, fields = fields_of(rest if named else text)
    if not path.is_file():
        there = "not an ordinary file" if os.path.lexists(path) else "no such file"
        said = "a folder, expected a file" if path.is_dir() else there
        raise BadPairs(f"{path}: {said}")
    stem = Path(path.stem).stem if path.suffix.lower() == GZ else path.stem
    return Given(name if named else stem, path, fields, behaviour)


def pairs_task(
    path: str | Path,
    name: str | None = None,
    shots: int = 10,
    largest: int = 60,
    fields: str | None = None,
) -> Config:
    """Return a pairs file as a task for `simple_evaluate(tasks=[...])`.

    Args:
        path: The file.
        name: The task's name; the file's by default.
        shots: Demonstrations per few-shot prompt.
        largest: The most pairs of the test split.
        fields: Which of its fields are taken (`rows.read_rows`).

    Raises:
        BadPairs: If the file cannot become a task.
    """
    path = Path(path)
    return Given(name or path.stem, path, fields).task(shots, largest)


def pairs_file(
    path: str | Path,
    split: str = "train",
    name: str | None = None,
    shots: int = 10,
    largest: int = 60,
    fields: str | None = None,
) -> Examples:
    """Return one split of a pairs file, worded like the precision suite.

    Raises:
        BadPairs: If the file cannot become a task.
    """
    if split not in utils.SPLITS:
        raise BadPairs(f"no split {split!r}; expected one of {', '.join(utils.SPLITS)}")
    return examples_from(pairs_task(path, name, shots, largest, fields), split)
