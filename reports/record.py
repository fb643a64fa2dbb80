"""The record: what was asked, what was measured, and everything needed to believe and repeat it.

On disk a record is a folder named by its run id:

    records/<run_id>/samples.jsonl   one document per line
    records/<run_id>/record.json     all the rest, and the sha256 of the samples

`record.json` is written last and both are replaced atomically, so a record is whole or not there.
JSON is strict: a value that is not a number is null, and a metric that is null reads back as NaN.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.files import write_atomically

SCHEMA = 1
FOLDER = "records"


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
    def model(self) -> str:
        """What the tables call the model: its name, or what `pretrained` says."""
        arguments = self.spec.get("model_args") or {}
        name = str(arguments.get("pretrained") or self.spec["model"])
        return Path(name).name if Path(name).is_absolute() else name

    def save(self, root: Path) -> Path:
        """Write the record below `root`, replacing one of the same run id.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing is half-written.
        """
        folder = root / FOLDER / self.run_id
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(dump(sample) + "\n" for sample in self.samples)
        content = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "schema": SCHEMA,
            "metrics": {name: dataclasses.asdict(metric) for name, metric in self.metrics.items()},
            "samples": {"file": "samples.jsonl", "n": len(self.samples), "sha256": _hash(lines)},
        }
        write_atomically(folder / "samples.jsonl", lines)
        write_atomically(folder / "record.json", dump(content, indent=1) + "\n")
        return folder

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Read one record's folder.

        Raises:
            BadRecord: files that are missing, damaged, or of another schema.
        """
        try:
            content = json.loads((folder / "record.json").read_text(encoding="utf-8"))
            lines = (folder / "samples.jsonl").read_text(encoding="utf-8")
        except (OSError, ValueError, RecursionError) as problem:
            raise BadRecord(f"{folder.name}: cannot be read ({problem}); delete it") from problem
        if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
            raise BadRecord(
                f"{folder.name}: not a record of schema {SCHEMA}; delete it and measure again"
            )
        try:
            if _hash(lines) != content.pop("samples")["sha256"]:
                raise BadRecord(f"{folder.name}: samples.jsonl is not what was recorded; delete it")
            metrics = {name: _metric(entry) for name, entry in content.pop("metrics").items()}
            samples = [json.loads(line) for line in lines.split("\n") if line]
            return cls(metrics=metrics, samples=samples, **content)
        except (KeyError, TypeError, AttributeError) as problem:
            raise BadRecord(f"{folder.name}: fields are missing or wrong ({problem})") from problem


def load_all(root: Path) -> list[Record]:
    """Read every finished record below a folder; unfinished ones are left out.

    Raises:
        BadRecord: a damaged record.
    """
    found = sorted(root.glob(f"{FOLDER}/*/record.json"))
    return [Record.load(path.parent) for path in found]


def _metric(entry: Mapping[str, Any]) -> Metric:
    value = math.nan if entry["value"] is None else float(entry["value"])
    return Metric(value, entry["stderr"], int(entry["n"]), bool(entry["higher_is_better"]))


def dump(value: Any, indent: int | None = None) -> str:
    """Strict JSON: a number that JSON cannot hold is null."""
    return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _strict(value: Any) -> Any:
    """The same value with null for every number that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
