"""harness.compare, evaluate and fit: the command line's work, words and refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import harness
from harness.cli import main
from reports.record import load_all
from steering import SteeringVector

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
FEW: dict[str, Any] = {"arms": ["zero_shot", "icv"], "budget": 2, "limit": 3}


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps([{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]))
    return str(file)


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> dict[str, Any]:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    return {"model": model, "tokenizer": AutoTokenizer.from_pretrained(checkpoint)}


def test_compare_is_what_the_command_measures(checkpoint: Path, pairs: str, tmp_path: Path) -> None:
    given = ["--data", pairs, "--arms", "zero_shot,icv", "--budget", "2", "--limit", "3"]
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint}"]
    assert main(["compare", *model, *given, "-o", str(tmp_path / "out")]) == 0
    expected = {record.run_id: record for record in load_all(tmp_path / "out")}
    found = harness.compare(str(checkpoint), data=[pairs], **FEW)
    assert {record.run_id for record in found.records} == set(expected)
    for record in found.records:
        assert record.samples == expected[record.run_id].samples
    table = found.frame()
    assert set(table.arm) == {"zero_shot", "icv"}
    assert (table.limit == 3).all()
    shown = found._repr_html_()
    assert "<table>" in shown
    assert "icv" in shown
    assert "a trial, not a result" in shown
    assert found.write(tmp_path / "report").page.exists()


def test_a_repeated_call_continues(checkpoint: Path, pairs: str, tmp_path: Path) -> None:
    first = harness.compare(str(checkpoint), data=[pairs], output_path=tmp_path / "o", **FEW)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "o").rglob("record.json")}
    again = harness.compare(str(checkpoint), data=[pairs], output_path=tmp_path / "o", **FEW)
    assert again.frame().equals(first.frame())
    assert times == {f: f.stat().st_mtime_ns for f in (tmp_path / "o").rglob("record.json")}


def test_a_loaded_model_is_measured_as_the_named_one(
    checkpoint: Path, pairs: str, loaded: dict[str, Any]
) -> None:
    weights = {name: value.clone() for name, value in loaded["model"].state_dict().items()}
    named = harness.compare(str(checkpoint), data=[pairs], **FEW).frame()
    given = harness.compare(**loaded, data=[pairs], **FEW).frame()
    for column in ("arm", "metric", "value", "n"):
        assert given[column].tolist() == named[column].tolist()
    assert all(map(torch.equal, loaded["model"].state_dict().values(), weights.values()))


def test_a_vector_is_fitted_and_measured(
    checkpoint: Path, pairs: str, loaded: dict[str, Any], tmp_path: Path
) -> None:
    settings = {"coefficient": 0.5}
    fitted = harness.fit(str(checkpoint), "icv", data=[pairs], settings=settings)
    kept = tmp_path / "vector"
    again = harness.fit(**loaded, method="icv", data=pairs, settings=settings, output_path=kept)
    assert all(
        torch.equal(a.tensor, b.tensor) for a, b in zip(fitted.edits, again.edits, strict=True)
    )
    given: dict[str, Any] = {"data": [pairs], "limit": 3}
    by_path = harness.evaluate(**loaded, vector=kept, **given)
    by_value = harness.evaluate(**loaded, vector=SteeringVector.load(kept), **given)
    assert by_path.frame().drop(columns="seconds").equals(by_value.frame().drop(columns="seconds"))
    assert by_path.results["tiny-pairs"]["proof"]["max_logit_change"] > 0
    assert len(by_path.documents["tiny-pairs"]) == 3
    plain = harness.evaluate(**loaded, **given)
    still = harness.evaluate(**loaded, vector=fitted, coefficient=0, **given)
    assert plain.frame().value.tolist() == still.frame().value.tolist()
    assert plain.frame().value.tolist() != by_path.frame().value.tolist()
    assert "tiny-pairs" in plain._repr_html_()


@pytest.mark.parametrize(
    ("call", "given", "expected"),
    [
        (harness.compare, {"task": "antonym"}, "no option 'task'. Did you mean 'tasks'"),
        (harness.compare, {"tasks": ["antonim"]}, "Did you mean 'antonym'"),
        (harness.compare, {"arms": ["fvv"]}, "Did you mean 'fv'"),
        (harness.compare, {"budget": 0}, "whole number from 1"),
        (harness.compare, {"executor": "ray"}, "no option 'executor'"),
        (harness.compare, {"model": 5}, "expected a name, or a loaded"),
        (harness.compare, {"model": "/nowhere/at/all"}, "no such folder"),
        (harness.evaluate, {"coefficient": 2}, "needs a --vector"),
        (harness.evaluate, {"tasks": "antonym", "vector": "nowhere"}, "cannot be read"),
        (harness.fit, {"method": "fvv", "tasks": "antonym"}, "Did you mean 'fv'"),
        (harness.fit, {"suite": "precision"}, "one task, got 18"),
    ],
)
def test_what_the_command_line_refuses(call: Any, given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        call(**given)
    assert "\n" not in str(caught.value)


def test_files_are_given_by_name_in_a_mapping(checkpoint: Path, tmp_path: Path) -> None:
    pairs = [{"input": f"w{i}", "output": f"a{i}"} for i in range(40)]
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps(pairs))
    files = {"first": tmp_path / "one.json", "second": f"{tmp_path / 'two.json'}:input,output"}
    given: dict[str, Any] = {"arms": ["zero_shot"], "limit": 2}
    found = harness.compare(str(checkpoint), data=files, **given).frame()
    assert set(found.task) == {"first", "second"}
    with pytest.raises(ValueError, match="no: no such file"):
        harness.compare(str(checkpoint), tasks="antonym", dataset={"antonym": tmp_path / "no"})


def test_a_loaded_model_needs_its_tokenizer(loaded: dict[str, Any], pairs: str) -> None:
    with pytest.raises(ValueError, match="without a tokenizer"):
        harness.fit(loaded["model"], data=[pairs])


def test_importing_harness_stays_light() -> None:
    code = "import harness, sys; harness.compare; print({'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shared: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        with warnings.catch_warnings():
            exec(compile(code, PAGE.name, "exec"), shared)
    assert shared["accuracy"]["fv"] > shared["accuracy"]["zero_shot"]
    assert "<table>" in shared["comparison"]._repr_html_()
    assert shared["same"].frame().value.notna().all()
