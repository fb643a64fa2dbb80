"""Baseline files: small JSON made to be committed and reviewed, one line per case.

    {"schema": 1, "cases": {
    "reference antonym fv 0": {"documents": "1f…", "metric": "acc", …, "values": "0110…"},
    …
    }}

Keys are sorted and numbers rounded, so that a change in a pull request shows what moved.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reports.costs import overhead
from reports.files import write_atomically
from reports.record import Record
from reports.stats import Array

SCHEMA = 1
DIGITS = 4
MEASURED = ("model", "model_args", "model_hash", "method_code", "settings")
"""Parts of a spec that are under test, or differ between machines: all others are protocol."""


class BadBaseline(ValueError):
    """A baseline file that cannot be used."""


@dataclass(frozen=True)
class Case:
    """What one arm reached on one task with one seed.

    Attributes:
        protocol: Over everything in the spec that would change numbers without being under test.
        documents: Over the documents asked, in order.
        metric: The headline metric.
        higher_is_better: Its direction.
        value: Its mean; None where it was not a number.
        values: Per document: a string of 0 and 1, or numbers with three decimals.
        overhead: Time per document over the baseline arm's, from interleaved rounds, if measured.
    """

    protocol: str
    documents: str
    metric: str
    higher_is_better: bool
    value: float | None
    values: str
    overhead: float | None = None

    @property
    def per_document(self) -> Array:
        """The metric of each document."""
        parts = list(self.values) if " " not in self.values else self.values.split()
        return np.array([float(part) for part in parts])


def cases(records: Iterable[Record]) -> dict[str, Case]:
    """The case of each record, by name: model, task, arm, seed."""
    every = sorted(records, key=lambda record: str(record.provenance.get("date")))  # newest wins
    return {_name(record): _case(record) for record in every}


def _name(record: Record) -> str:
    return f"{record.model} {record.spec['task']} {record.arm} {record.spec['seed']}"


def _case(record: Record) -> Case:
    metric = record.metrics[record.headline]
    samples = sorted(record.samples, key=lambda sample: int(sample["doc_id"]))
    cost = overhead(record)
    return Case(
        protocol=_digest({k: v for k, v in record.spec.items() if k not in MEASURED}),
        documents=_digest([sample["doc_hash"] for sample in samples]),
        metric=record.headline,
        higher_is_better=metric.higher_is_better,
        value=None if math.isnan(metric.value) else round(metric.value, DIGITS),
        values=_spelled([sample.get(record.headline) for sample in samples]),
        overhead=None if cost is None else round(cost, 2),
    )


def _spelled(values: list[Any]) -> str:
    numbers = [math.nan if value is None else float(value) for value in values]
    if all(number in (0, 1) for number in numbers):
        return "".join(str(int(number)) for number in numbers)
    return " ".join(f"{number:.3f}" for number in numbers) + " "


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read(path: Path) -> dict[str, Case]:
    """Read a baseline file; one that does not exist holds no cases.

    Raises:
        BadBaseline: the file is not a baseline.
    """
    if not path.exists():
        return {}
    advice = "restore it from version control, or delete it and run with --update"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise BadBaseline(
                f"{path}: baseline schema {content['schema']!r}, expected {SCHEMA}; {advice}"
            )
        found = {name: Case(**entry) for name, entry in content["cases"].items()}
        for case in found.values():
            _check(case)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        if isinstance(problem, BadBaseline):
            raise
        reason = " ".join(str(problem).split())
        raise BadBaseline(f"{path}: not a baseline file ({reason}); {advice}") from problem
    return found


def _check(case: Case) -> None:
    """Raise TypeError or ValueError for an entry that cannot be compared."""
    for number in (case.value, case.overhead):
        if not (number is None or (isinstance(number, int | float) and math.isfinite(number))):
            raise TypeError(f"{number!r} is not a number")
    if not len(case.per_document):
        raise ValueError("a case without documents")


def write(path: Path, content: Mapping[str, Case]) -> None:
    """Write a baseline file, one line per case."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(asdict(case), sort_keys=True)}"
        for name, case in sorted(content.items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(lines)
    write_atomically(path, f'{{"schema": {SCHEMA}, "cases": {{\n{body}\n}}}}\n')
