"""An option that has nothing to act on is said; one that has something is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main

GIVEN = {
    "--budget": (["--budget", "3"], "no arm steers"),
    "--dose": (["--dose", "0.2"], "no arm steers"),
    "--fit_on": (["--fit_on", "antonym"], "no arm steers"),
    "--judge": (["--judge", "lexicon"], "no task belongs to behavior_shift"),
    "--gen_kwargs": (["--gen_kwargs", "temperature=0.5"], "no task generates"),
    "--frame": (["--frame", "paraphrase"], "no task has a neutral frame"),
    "--dataset": (["--dataset", "gsm8k={file}"], "gsm8k changes nothing: that task is not asked"),
}


def said(more: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    file = tmp_path / "gsm8k.jsonl"
    file.write_text(
        "".join(json.dumps({"question": f"q{i}", "answer": "a"}) + "\n" for i in range(9))
    )
    own = [part.format(file=file) for part in more]
    assert main(["compare", "--dry_run", "-o", str(tmp_path / "out"), *own]) == 0
    return capfd.readouterr().err


@pytest.mark.parametrize("option", GIVEN)
def test_an_option_without_effect_is_said(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more, why = GIVEN[option]
    shown = said(["--tasks", "antonym", "--arms", "zero_shot", *more], tmp_path, capfd)
    (line,) = [text for text in shown.splitlines() if "changes nothing" in text]
    assert line.startswith(f"steergauge: {option}")
    assert why in line


@pytest.mark.parametrize("option", [o for o in GIVEN if o not in ("--gen_kwargs", "--dataset")])
def test_an_option_with_effect_is_not(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = ["--tasks", "antonym,sentiment_transfer", "--arms", "zero_shot,icv"]
    assert "changes nothing" not in said([*tasks, *GIVEN[option][0]], tmp_path, capfd)


def test_run_says_what_it_does_not_use(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--tasks", "antonym", "--limit", "2", "--gen_kwargs", "temperature=0.5"]
    assert main(["run", *options]) == 0
    assert "--gen_kwargs changes nothing: no task generates" in capfd.readouterr().err
    assert main(["run", *options[:-2]]) == 0
    assert "changes nothing" not in capfd.readouterr().err
