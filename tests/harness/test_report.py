"""`steergauge report` on one folder and on several."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from tests.reports.records import comparison_records


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "here" / "first", tmp_path / "here" / "second"
    for seed, folder in enumerate(found):
        for record in comparison_records(seed=seed):
            record.save(folder)
    return found


def test_several_folders_stand_beside_each_other(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = folders
    out = tmp_path / "joint"
    command = ["report", str(first), str(second), "-o", str(out), "--export", "lm-eval"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "Precision: models and methods" in shown
    assert "second against first" in shown
    assert "## reference (second)" in (out / "report.md").read_text()
    assert not list(first.glob("report.*"))
    assert len(list((out / "lm-eval" / "second").glob("reference__*/results_*.json"))) == 6


def test_one_folder_is_reported_where_it_is_or_elsewhere(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    first, _ = folders
    assert main(["report", str(first), "-o", str(tmp_path / "else"), "--export", "lm-eval"]) == 0
    assert not (first / "report.md").exists()
    assert main(["report", str(first)]) == 0
    assert (first / "report.md").read_text() == (tmp_path / "else" / "report.md").read_text()
    assert list((tmp_path / "else" / "lm-eval").glob("reference__fv/samples_antonym_*.jsonl"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["{second}", "-o", "{first}"], "would take the place of this one's"),
        (["{empty}", "-o", "{out}"], "no records"),
        (["--export", "xml"], "invalid choice: 'xml'"),
    ],
)
def test_mistakes_are_one_line(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: list[str], said: str,
) -> None:  # fmt: skip
    first, second = folders
    places = {"first": first, "second": second, "empty": tmp_path / "none", "out": tmp_path / "o"}
    command = ["report", str(first), *(part.format(**places) for part in more)]
    try:
        code = main(command)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (first / "report.md").exists()
