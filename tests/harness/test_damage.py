"""What lies in a folder of records: damaged, of other versions, left behind, oddly named."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from harness.cli import main
from harness.commands.records import read_records
from harness.commands.screen import drawn
from reports.columns import Column
from reports.files import part_of
from reports.record import load_all
from reports.table import Table
from tests.reports.records import record

PAIRS = json.dumps([{"input": f"in{i}", "output": f"out{i}"} for i in range(40)])


def compare(checkpoint: Path, folder: Path, *more: str) -> int:
    (folder / "pairs.json").write_text(PAIRS)
    model = ["--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32"]
    asked = ["--data", str(folder / "pairs.json"), "--arms", "zero_shot,few_shot", "--limit", "2"]
    return main(["compare", *model, *asked, "-o", str(folder / "out"), *more])


def test_damaged_records_are_made_anew_and_nothing_else(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert compare(checkpoint, tmp_path) == 0
    first = {found.run_id: found for found in load_all(tmp_path / "out")}
    one, other = sorted(first)
    places = {
        one: tmp_path / "out" / "records" / one / "samples.jsonl",
        other: tmp_path / "out" / "records" / other / "record.json",
    }
    for damaged, path in places.items():
        content = path.read_bytes()
        path.write_bytes(content.replace(b"in", b"out", 1) if damaged == one else content[:-9])
        caplog.clear()
        assert compare(checkpoint, tmp_path) == 0
        assert f"measured anew: {path.parent}" in caplog.text
        again = {found.run_id: found for found in load_all(tmp_path / "out")}
        assert again.keys() == first.keys()
        for run_id, found in again.items():
            assert (found.samples, found.metrics) == (first[run_id].samples, first[run_id].metrics)
            anew = found.provenance["date"] != first[run_id].provenance["date"]
            assert anew == (run_id == damaged)
        first = again


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mine = part_of(out / "records" / "abc")
    dead = mine.with_name(mine.name.replace(f".{os.getpid()}.", ".4194303."))
    for folder in (mine, dead):
        folder.mkdir(parents=True)
        (folder / "samples.jsonl").touch()
    assert compare(checkpoint, tmp_path) == 0
    assert mine.exists()
    assert not dead.exists()


def test_the_version_that_was_asked_last_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = record(arm="fv", date="2026-01-01", method_code="old")
    new = record(arm="fv", date="2026-01-02", method_code="new")
    for each in (old, new):
        each.save(tmp_path)
    (kept,) = read_records(tmp_path, one_model=True)
    assert kept.spec["method_code"] == "new"
    assert "1 records of earlier versions" in capsys.readouterr().err
    cell = {"id": "a", "kind": "measuring", "name": "fv", "runs": [old.run_id.replace("+", "-")]}
    old = dataclasses.replace(old, run_id=cell["runs"][0])
    old.save(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps({"cells": [cell]}))
    (kept,) = read_records(tmp_path, one_model=True)  # the change was taken back
    assert kept.spec["method_code"] == "old"


@pytest.mark.parametrize(
    "plan",
    ["[", "[]", '{"cells": 1}', '{"cells": [{"id": "../x"}]}', "[" * 100_000,
     '{"cells": [{"id": "a", "kind": "tuning", "name": "x", "runs": [1]}]}'],
)  # fmt: skip
def test_a_damaged_plan(plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").write_text(plan)
    assert main(["status", str(tmp_path)]) == 2
    assert "not a plan" in capsys.readouterr().err
    record().save(tmp_path)
    assert len(read_records(tmp_path, one_model=True)) == 1


@pytest.mark.parametrize("text", ["[/x]", "[red]", "[link=x]y", "\\[", "[/]", "[bold"])
def test_a_terminal_shows_names_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    table = Table(text, "", [Column("name", text)], [{"name": text}])
    Console(width=80).print(drawn(table, ["name"]))
    assert capsys.readouterr().out.count(text) == 3
