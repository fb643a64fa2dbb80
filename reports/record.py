"""The record: what was asked, what was measured, and everything needed to believe and repeat it.

On disk a record is a folder named by its run id:

    records/<run_id>/samples.jsonl   one document per line
    records/<run_id>/record.json     all the rest, and the sha256 of the samples

The folder is written beside its place and renamed, so that a record is whole or not there and never
mixes two runs. JSON is strict: a value that is not a number is null, and a metric that is null
reads back as NaN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.files import LIMIT, BadFile, load, parse, part_of, read
from reports.stored import LARGEST, RECORD, SAMPLE, SCHEMA, StoredMetric, StoredRecord

FOLDER = "records"
MAX_SAMPLES = 4 * LIMIT
SWAPS, SWAP_SECONDS = 10, 0.02
"""How often a record that seems damaged is read again: it may have been replaced meanwhile."""


class BadRecord(ValueError):
    """A record that cannot be read, or a folder without any."""


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Attributes:
        value: Mean over documents; NaN where it could not be computed.
        stderr: Its standard error, if the metric has one.
        n: Documents.
        higher_is_better: Its direction.
    """

    value: float
    stderr: float | None
    n: int
    higher_is_better: bool


@dataclass(frozen=True)
class Record:
    """One arm on one task with one seed.

    Attributes:
        run_id: 12 hex digits, from the spec.
        spec: What was asked: model, task, suite, arm, seed, shots, budget, limit, settings.
        metrics: What was measured, by name.
        headline: The metric that the task is ranked by.
        samples: Per document: doc_id, doc_hash, input, target, output, and each metric.
        fit: The vector's provenance, seconds, bytes and norm.
        tuning: The space, the budget, every configuration with its validation score, the choice.
        proof: Forward passes in which an edit was applied, and how far logits moved.
        timings: Seconds of fit, tuning and evaluation; milliseconds per document; peak memory.
        provenance: Versions, commit, command line, host, date, hashes.
        lm_eval: lm-eval's own results block.
    """

    run_id: str
    spec: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    headline: str
    samples: list[dict[str, Any]]
    fit: Mapping[str, Any] | None
    tuning: Mapping[str, Any] | None
    proof: Mapping[str, Any] | None
    timings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    lm_eval: Mapping[str, Any]

    @property
    def arm(self) -> str:
        """Name of the arm."""
        return str(self.spec["arm"]["name"])

    @property
    def asked(self) -> str:
        """The task whose documents were asked: the side task, or the one that vectors are for."""
        return str(self.spec.get("side") or self.spec["task"])

    @property
    def model(self) -> str:
        """What people call the model: its name, or what `pretrained` says; others may share it."""
        arguments = self.spec.get("model_args") or {}
        name = str(arguments.get("pretrained") or self.spec["model"])
        return Path(name).name if Path(name).is_absolute() else name

    def save(self, root: Path) -> Path:
        """Write the record below `root`, replacing one of the same run id in one step.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing is half-written.
        """
        folder = root / FOLDER / self.run_id
        lines = b"".join(dump(sample).encode(errors="replace") + b"\n" for sample in self.samples)
        content = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "schema": SCHEMA,
            "metrics": {name: dataclasses.asdict(metric) for name, metric in self.metrics.items()},
            "samples": {"file": "samples.jsonl", "n": len(self.samples), "sha256": _hash(lines)},
        }
        text = (dump(content, indent=1) + "\n").encode(errors="replace")
        part = part_of(folder)
        try:
            part.mkdir(parents=True)
            _write(part / "samples.jsonl", lines)
            _write(part / "record.json", text)
            _put(part, folder)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, str(folder)) from problem
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return folder

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Read one record's folder.

        Raises:
            BadRecord: files that are missing, damaged, or of another schema.
        """
        for _ in range(SWAPS):
            try:
                return cls._read(folder)
            except BadRecord:
                time.sleep(SWAP_SECONDS)
        return cls._read(folder)

    @classmethod
    def _read(cls, folder: Path) -> Record:
        try:
            content: StoredRecord = load(folder / "record.json", RECORD)
            lines = read(folder / "samples.jsonl", MAX_SAMPLES)
            if content["run_id"] != folder.name:
                raise BadFile(f"{folder}: holds the record {content['run_id'][:40]!r}")
            if _hash(lines) != content["samples"]["sha256"]:
                raise BadFile(f"{folder / 'samples.jsonl'}: not what was recorded")
            samples = [parse(line, SAMPLE) for line in lines.split(b"\n") if line]
            if len(samples) != content["samples"]["n"]:
                raise BadFile(f"{folder / 'samples.jsonl'}: {len(samples)} documents")
        except BadFile as problem:
            raise BadRecord(f"{problem}; delete the folder and measure again") from problem
        rest = {
            key: value
            for key, value in content.items()
            if key not in ("schema", "metrics", "samples")
        }
        metrics = {name: _metric(entry) for name, entry in content["metrics"].items()}
        return cls(metrics=metrics, samples=samples, **rest)  # type: ignore[arg-type]


def load_all(root: Path) -> list[Record]:
    """Read every finished record below a folder; unfinished ones are left out.

    Raises:
        BadRecord: a damaged record.
    """
    found = sorted(root.glob(f"{FOLDER}/[!.]*/record.json"))
    return [Record.load(path.parent) for path in found]


def number(value: object) -> float:
    """A document's metric, or a setting, as a number; NaN for what is none or beyond all sense."""
    if isinstance(value, int | float) and abs(value) <= LARGEST:
        return float(value)
    return math.nan


def dump(value: Any, indent: int | None = None) -> str:
    """Strict JSON: a number that JSON cannot hold is null."""
    return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _put(part: Path, folder: Path) -> None:
    """Rename a finished folder into its place; one that is there makes way first."""
    old = part_of(folder)
    with contextlib.suppress(FileNotFoundError):
        folder.replace(old)
    try:
        part.replace(folder)
    except OSError:
        if folder.exists():  # another process was faster: its record makes way for ours
            _put(part, folder)
        elif old.exists():
            old.replace(folder)
            raise
        else:
            raise
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _metric(entry: StoredMetric) -> Metric:
    value = math.nan if entry["value"] is None else entry["value"]
    return Metric(value, entry["stderr"], entry["n"], entry["higher_is_better"])


def _strict(value: Any) -> Any:
    """The same value with null for every number that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
