"""`steergauge sweep`: its cells are what the same vectors reach through lm-eval."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.lm.loading import load
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner

FEW = {"mean_prompts": 8, "effect_prompts": 2, "shots": 2}
PAIRS = [{"input": f"in{i}", "output": f"out{i % 3}"} for i in range(40)]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps(PAIRS))
    return file


def swept(checkpoint: Path, pairs: Path, out: Path, *more: str) -> list[dict[str, str]]:
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    assert main(["sweep", *model, "--data", str(pairs), "-o", str(out), *more]) == 0
    with (out / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("fv", FEW),
        ("fv", {**FEW, "unit": "residual"}),
        ("caa", {}),
        ("task_vector", {"shots": 2}),
        ("icv", {"pairs": 8}),
    ],
)
def test_cells_are_what_lm_eval_finds(
    checkpoint: Path, pairs: Path, tmp_path: Path, method: str, settings: dict[str, object]
) -> None:
    """A vector that is read at a layer, or scaled to it, is made for each."""
    said = ",".join(f"{key}={value}" for key, value in settings.items())
    grid = ["--coefficients", "0,1,-4,64", "--settings", said, "--split", "test"]
    cells = swept(checkpoint, pairs, tmp_path / "sweep", "--method", method, *grid)
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    session = Session(lm, "hf", {}, Sources(data=(str(pairs),)))
    name = session.sources.select(None, None)[0]
    fitter = Tuner(session).fitter
    layered = method != "icv"
    spec = session.spec(name, Arm("zero_shot"))
    assert len(cells) == 4 * (lm.model.config.num_hidden_layers if layered else 1)
    for cell in cells:
        here = {"layer": int(cell["layer"])} if layered else {}
        made = fitter.fit(method, {**settings, **here, "seed": 0}, session.examples(name))
        own = made.vector.with_coefficient(float(cell["coefficient"]))
        task = session.task(spec, Arm("zero_shot"))
        measured = session.measure({name: task}, {name: own})[name]
        assert float(cell["acc"]) == pytest.approx(measured.metrics["acc"].value)
        assert int(cell["n"]) == measured.metrics["acc"].n


def test_table_csv_and_map(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sweep"
    few = ["--heads", "1,2", "--layers", "1,0", "--coefficients", "0.5,2", "--metric", "logprob"]
    cells = swept(checkpoint, pairs, out, *few)
    assert [(c["heads"], c["layer"], c["coefficient"]) for c in cells] == [
        (heads, layer, c) for heads in "12" for layer in "10" for c in ("0.5", "2.0")
    ]
    shown = capsys.readouterr().out
    assert "fv on tiny-pairs, 2 heads" in shown
    assert "best of 8 cells" in shown
    assert (out / "sweep.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert (out / "sweep.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--layers", "99"], "layer 99: the model has layers 0 to"),
        (["--method", "icv", "--heads", "3"], "'icv' has no such setting"),
        (["--method", "icv", "--layers", "0"], "has no layer to be moved"),
        (["--coefficients", "nan"], "not a list of numbers"),
        (["--method", "fvv"], "Did you mean 'fv'"),
    ],
)
def test_mistakes_are_one_line(
    checkpoint: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: list[str], said: str,
) -> None:  # fmt: skip
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    command = ["sweep", *model, "--data", str(pairs), "-o", str(tmp_path / "out"), *more]
    try:
        code = main(command)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
