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
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from pydantic import AfterValidator, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from reports.costs import overhead
from reports.files import BadFile, load, write_atomically
from reports.identity import VERSIONS, differing, model_names, newest, place
from reports.record import Record, number
from reports.stats import Array
from reports.stored import Real

SCHEMA = 1
DIGITS = 4
NUMBER = re.compile(r"-?\d{1,101}\.\d{3}", re.ASCII)
MEASURED = ("model", "model_args", "model_hash", "method_code", "settings")
"""Parts of a spec that are under test, or differ between machines: all others are protocol."""


class BadBaseline(ValueError):
    """A baseline file that cannot be used."""


def _readable(values: str) -> str:
    """Refuse values that `Case.per_document` would not read as it should.

    Raises:
        ValueError: neither digits 0 and 1 nor numbers; or some of them are no numbers.
    """
    parts = values.split()
    if " " not in values:
        good = bool(values) and set(values) <= {"0", "1"}
    else:
        good = bool(parts) and (all(map(NUMBER.fullmatch, parts)) or set(parts) == {"nan"})
    if not good:
        raise ValueError("expected one 0 or 1 per document, or numbers with a space after each")
    return values


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
    value: Real | None
    values: Annotated[str, AfterValidator(_readable)]
    overhead: Annotated[Real, Gt(0)] | None = None

    @property
    def paired(self) -> bool:
        """Whether documents have values of their own; a metric of the whole has none."""
        return not self.values.startswith("nan")

    @property
    def per_document(self) -> Array:
        """The metric of each document."""
        parts = list(self.values) if " " not in self.values else self.values.split()
        return np.array([float(part) for part in parts])


class Stored(TypedDict):
    """A baseline file."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[misc]
    schema: Literal[1]
    cases: dict[str, Case]


SHAPE = TypeAdapter(Stored)


def cases(records: Iterable[Record]) -> dict[str, Case]:
    """The case of each record, by name: model, task, arm, seed, and what else tells it apart.

    Of several versions of one measurement the newest counts; see `reports.identity`.
    """
    every = newest(records)
    models, named = model_names(every), defaultdict[str, list[Record]](list)
    for record in every:
        task, seed = record.spec["task"], record.spec["seed"]
        side = f" on {record.asked}" if record.spec.get("side") else ""
        named[f"{models[place(record)]} {task} {record.arm} {seed}{side}"].append(record)
    found = {}
    for name, group in named.items():
        for record, more in zip(group, differing([r.spec for r in group], VERSIONS), strict=True):
            found[f"{name} ({more})" if more else name] = _case(record)
    return found


def _case(record: Record) -> Case:
    metric = record.metrics[record.headline]
    samples = sorted(record.samples, key=lambda sample: int(sample["doc_id"]))
    cost = overhead(record)
    return Case(
        protocol=_digest({k: v for k, v in record.spec.items() if k not in MEASURED}),
        documents=_digest([sample["doc_hash"] for sample in samples]),
        metric=record.headline,
        higher_is_better=metric.higher_is_better,
        value=None if not math.isfinite(metric.value) else round(metric.value, DIGITS),
        values=_spelled([sample.get(record.headline) for sample in samples]),
        overhead=None if cost is None else round(cost, 2) or None,
    )


def _spelled(values: list[Any]) -> str:
    numbers = [number(value) for value in values]
    if not all(map(math.isfinite, numbers)):  # a metric of the whole: nothing to be paired
        return "nan " * len(numbers)
    if all(each in (0, 1) for each in numbers):
        return "".join(str(int(each)) for each in numbers)
    return " ".join(f"{each:.3f}" for each in numbers) + " "


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read(path: Path) -> dict[str, Case]:
    """Read a baseline file; one that does not exist holds no cases.

    Raises:
        BadBaseline: the file is not a baseline.
    """
    if not os.path.lexists(path):
        return {}
    try:
        return load(path, SHAPE, unique=True)["cases"]
    except BadFile as problem:
        raise BadBaseline(
            f"{problem}: no baseline file; restore it from version control, or delete it and run "
            "with --update"
        ) from problem


def write(path: Path, content: Mapping[str, Case]) -> None:
    """Write a baseline file, one line per case."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(asdict(case), sort_keys=True)}"
        for name, case in sorted(content.items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(lines)
    write_atomically(path, f'{{"schema": {SCHEMA}, "cases": {{\n{body}\n}}}}\n')
