"""Tasks of lm-eval's kind from the command line and as pytest cases: compare, fit, sweep, gate."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli import main
from reports import Comparison
from reports.record import load_all

UTILS = """
from datasets import Dataset, DatasetDict


def load(n, start, **_):
    rows = [
        {"question": f"in{i}", "choices": [f"a{i}", f"b{i}", "c"], "label": i % 3}
        for i in range(start, start + n)
    ]
    return DatasetDict({"test": Dataset.from_list(rows)})


def process_results(doc, results):
    scores = [score for score, _ in results]
    return {"hit": float(max(range(3), key=scores.__getitem__) == doc["label"])}
"""
TASK = """
task: {name}
tag: both
custom_dataset: !function utils.load
dataset_kwargs: {{n: {n}, start: {start}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: label
doc_to_choice: "{{{{choices}}}}"
process_results: !function utils.process_results
metric_list:
  - {{metric: hit, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
GROUP = """
group: all_of_them
task: [small, large]
aggregate_metric_list:
  - {metric: hit, aggregation: mean, weight_by_size: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    (folder / "small.yaml").write_text(TASK.format(name="small", n=20, start=0))
    (folder / "large.yaml").write_text(TASK.format(name="large", n=40, start=100))
    (folder / "group.yaml").write_text(GROUP)
    return folder


def command(name: str, checkpoint: Path, folder: Path, out: Path, *more: str) -> int:
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    own = ["--include_path", str(folder), "-o", str(out), "--device", "cpu", "-b", "8"]
    return main([name, *model, *own, *more])


def test_a_group_is_compared_and_reported_as_lm_eval_weighs_it(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arms = ["--arms", "zero_shot,few_shot,shuffled_few_shot,icv", "--budget", "2"]
    assert command("compare", checkpoint, folder, out, "--tasks", "all_of_them", *arms) == 0
    records = load_all(out)
    assert {record.spec["suite"] for record in records} == {"all_of_them"}
    assert {record.spec["shots"] for record in records} == {0, 5}
    sizes = {"small": 10, "large": 20}
    for record in records:
        assert len(record.samples) == sizes[record.spec["task"]]
        if record.tuning is not None:
            assert record.tuning["documents"] == sizes[record.spec["task"]] * 2 // 5
            assert record.tuning["metric"] == "hit"
    comparison = Comparison(records)
    cell = comparison.cell("icv", ["small", "large"])
    assert cell is not None
    values = {r.spec["task"]: r.metrics["hit"].value for r in records if r.arm == "icv"}
    weighted = np.average([values["small"], values["large"]], weights=[10, 20])
    assert cell.value == pytest.approx(float(weighted))
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "small: no training or validation split: test split by hash into 6 documents" in report
    assert "4 to tune on and 10 that count" in report
    baseline = tmp_path / "baseline.json"
    assert main(["gate", str(out), "--baseline", str(baseline), "--update"]) == 0
    assert main(["gate", str(out), "--baseline", str(baseline)]) == 0


@pytest.mark.parametrize("name", ["small", "both"])
def test_lm_evals_own_names_and_tags_and_files_in_place_of_documents(
    checkpoint: Path, folder: Path, tmp_path: Path, name: str
) -> None:
    rows = [{"question": f"x{i}", "choices": ["a", "b", "c"], "label": i % 3} for i in range(30)]
    (tmp_path / "own.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    own = ["--dataset", f"small={tmp_path / 'own.json'}", "--arms", "zero_shot"]
    assert command("compare", checkpoint, folder, out, "--tasks", name, *own) == 0
    found = {record.spec["task"]: record for record in load_all(out)}
    assert set(found) == ({"small"} if name == "small" else {"small", "large"})
    assert found["small"].spec["suite"] == name
    assert len(found["small"].samples) == 15
    assert all(sample["input"].startswith("Q: x") for sample in found["small"].samples)


def test_a_vector_is_fitted_on_a_task_or_on_another_one(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    found: dict[str, Any] = {}
    for name, more in {"own": [], "other": ["--fit_on", "large"]}.items():
        out = tmp_path / name
        asked = ["--method", "icv", "--tasks", "small", "--settings", "pairs=4", *more]
        assert command("fit", checkpoint, folder, out, *asked) == 0
        found[name] = json.loads((out / "steering_config.json").read_text())
    assert found["own"] != found["other"]


@pytest.mark.parametrize("metric", [None, "hit"])
def test_a_sweep_asks_the_tasks_own_metric(
    checkpoint: Path, folder: Path, tmp_path: Path, metric: str | None
) -> None:
    out = tmp_path / "sweep"
    asked = ["--method", "icv", "--tasks", "small", "--settings", "pairs=4"]
    grid = ["--coefficients", "0,0.5,40", *(["--metric", metric] if metric else [])]
    assert command("sweep", checkpoint, folder, out, *asked, *grid) == 0
    with (out / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["coefficient"] for row in rows] == ["0.0", "0.5", "40.0"]
    assert all(0 <= float(row["hit"]) <= 1 for row in rows)
    assert {row["n"] for row in rows} == {"4"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--tasks", "smal"], "Did you mean 'small'"),
        (["--tasks", "small", "--metric", "acc"], "no metric 'acc'; its metrics: hit"),
        (["--tasks", "small", "--dataset", "small=nowhere.json"], "nowhere.json: no such file"),
        (["--tasks", "small", "--dataset", "small"], "expected TASK=PATH"),
        (["--tasks", "small", "--fit_on", "nothing"], "no task named 'nothing'"),
        (["--tasks", "small", "--arms", "instruction"], "no metadata.instruction"),
    ],
)
def test_mistakes_are_one_line(
    checkpoint: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: list[str], said: str,
) -> None:  # fmt: skip
    asked = ["--arms", "zero_shot,icv", "--budget", "1", *more]
    assert command("compare", checkpoint, folder, tmp_path / "out", *asked) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error
    assert "Traceback" not in error
