"""Records on disk: whole or not there, and nothing is believed unread."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from reports import Metric, Record
from reports.record import BadRecord, load_all
from tests.reports.records import record


def test_round_trip(tmp_path: Path) -> None:
    first = record(outputs=["a", "b\u2028c", "d\n", "é"])
    folder = first.save(tmp_path)
    assert Record.load(folder) == first
    assert load_all(tmp_path) == [first]


def test_nan_is_null_on_disk_and_nan_when_read(tmp_path: Path) -> None:
    broken = dataclasses.replace(record(), metrics={"acc": Metric(math.nan, None, 4, True)})
    folder = broken.save(tmp_path)
    assert "NaN" not in (folder / "record.json").read_text()
    assert math.isnan(Record.load(folder).metrics["acc"].value)


def test_unfinished_records_are_left_out(tmp_path: Path) -> None:
    folder = record().save(tmp_path)
    (folder / "record.json").unlink()
    assert load_all(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_what_was_there(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = record().save(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    target = "reports.files.os.fsync" if call == "fsync" else "pathlib.Path.replace"
    monkeypatch.setattr(target, full)
    with pytest.raises(OSError, match="No space"):
        record(values=(1, 1, 1, 1)).save(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def damage(folder: Path, kind: str) -> None:
    path = folder / "record.json"
    content = json.loads(path.read_text())
    if kind == "truncated":
        path.write_text(path.read_text()[:50])
    elif kind == "samples":
        (folder / "samples.jsonl").write_text('{"doc_id": 0, "acc": 1.0}\n')
    elif kind == "no samples":
        (folder / "samples.jsonl").unlink()
    elif kind == "deep":
        path.write_text("[" * 100_000)
    else:
        changes: dict[str, Any] = {
            "list": [1],
            "schema": {**content, "schema": 99},
            "field": {k: v for k, v in content.items() if k != "spec"},
            "extra": {**content, "surprise": 1},
            "metric": {**content, "metrics": {"acc": 3}},
            "metrics": {**content, "metrics": [1]},
        }
        path.write_text(json.dumps(changes[kind]))


@pytest.mark.parametrize(
    "kind",
    ["truncated", "samples", "no samples", "deep", "list", "schema", "field", "extra", "metric",
     "metrics"],
)  # fmt: skip
def test_damaged_records_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    folder = record().save(tmp_path)
    damage(folder, kind)
    with pytest.raises(BadRecord) as caught:
        Record.load(folder)
    assert "\n" not in str(caught.value)
