"""Several processes on one folder: each record is of one run, and no report is half of another."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from reports import Record
from reports.files import abandoned
from reports.record import load_all
from reports.writer import write
from tests.reports.records import comparison_records, record

TIMES = 60


def save_often(root: Path, value: int) -> None:
    for _ in range(TIMES):
        record(values=(value,) * 50).save(root)


def write_often(root: Path) -> None:
    for _ in range(2):
        write(root, comparison_records(n=12))


def run(*processes: multiprocessing.process.BaseProcess) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_two_runs_never_mix_in_a_record(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=save_often, args=(tmp_path, value)) for value in (0, 1)]
    for process in writers:
        process.start()
    read = 0
    while any(process.is_alive() for process in writers):
        for found in load_all(tmp_path):
            values = {sample["acc"] for sample in found.samples}
            assert values == {found.metrics["acc"].value}
            read += 1
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0, 0]
    assert read
    assert not list(abandoned(tmp_path))
    assert [path.name[0] for path in (tmp_path / "records").iterdir()] == ["a"]


def test_a_record_saved_in_the_middle_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = record(values=(0,) * 9), record(values=(1,) * 9)
    import reports.record

    inner, calls = reports.record._write, []

    def interrupted(path: Path, content: bytes) -> None:
        inner(path, content)
        calls.append(path)
        if len(calls) == 1:
            second.save(tmp_path)

    monkeypatch.setattr(reports.record, "_write", interrupted)
    found = Record.load(first.save(tmp_path))
    assert {sample["acc"] for sample in found.samples} == {found.metrics["acc"].value} == {0}


@pytest.mark.slow
def test_two_reports_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    run(*(spawn.Process(target=write_often, args=(tmp_path,)) for _ in range(3)))
    alone = tmp_path / "alone"
    write(alone, comparison_records(n=12))
    for path in alone.rglob("*.*"):
        assert (tmp_path / path.relative_to(alone)).read_bytes() == path.read_bytes()
