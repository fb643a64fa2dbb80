"""`steergauge run` on tasks and groups, beside lm-eval's own evaluation of the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from harness.cli import main
from harness.lm.adapter import SteeredLM

UTILS = """
from datasets import Dataset, DatasetDict


def load(n, **_):
    rows = [{"input": f"in{i}", "label": i % 3, "answer": "abd"[i % 3]} for i in range(n)]
    return DatasetDict({name: Dataset.from_list(rows) for name in ("train", "test")})
"""
TASK = """
task: {name}
custom_dataset: !function utils.load
dataset_kwargs: {{n: {n}}}
training_split: train
test_split: test
fewshot_split: train
output_type: multiple_choice
num_fewshot: {shots}
doc_to_text: "Q: {{{{input}}}}\\nA:"
doc_to_target: label
doc_to_choice: ["a", "bc", "d"]
metadata: {{version: 1.0}}
"""
GROUP = """
group: {name}
task: [small, large]
aggregate_metric_list:
  - {{metric: acc, aggregation: mean, weight_by_size: {weighted}}}
metadata: {{version: 1.0}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    (folder / "small.yaml").write_text(TASK.format(name="small", n=6, shots=2))
    (folder / "large.yaml").write_text(TASK.format(name="large", n=15, shots=0))
    for name, weighted in (("by_size", "true"), ("alike", "false")):
        (folder / f"{name}.yaml").write_text(GROUP.format(name=name, weighted=weighted))
    return folder


def run(checkpoint: Path, folder: Path, out: Path, *more: str) -> dict[str, Any]:
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32"]
    own = ["--include_path", str(folder), "-o", str(out), "--device", "cpu"]
    assert main(["run", *model, *own, *more]) == 0
    content: dict[str, Any] = json.loads((out / "results.json").read_text())
    return content


@pytest.mark.parametrize("group", ["by_size", "alike"])
@pytest.mark.parametrize("shots", [None, 1])
def test_shots_and_group_scores_are_lm_evals(
    checkpoint: Path, folder: Path, tmp_path: Path, group: str, shots: int | None
) -> None:
    more = [] if shots is None else ["-f", str(shots)]
    found = run(checkpoint, folder, tmp_path / "out", "--tasks", group, *more)
    loaded = TaskManager(include_path=str(folder), include_defaults=False).load([group])
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(0)
        if shots is not None:
            task.set_config("num_fewshot", shots)
    lm = SteeredLM(str(checkpoint), device="cpu", dtype="float32", batch_size=32)
    theirs: Any = evaluate(lm, loaded, bootstrap_iters=10)
    assert {name: found[name]["num_fewshot"] for name in ("small", "large")} == {
        "small": 2 if shots is None else shots,
        "large": 0 if shots is None else shots,
    }
    for name in ("small", "large", group):
        own, block = found[name]["metrics"]["acc"], theirs["results"][name]
        assert own["value"] == pytest.approx(block["acc,none"])
        assert own["stderr"] == pytest.approx(block["acc_stderr,none"])
    assert found[group]["metrics"]["acc"]["n"] == 21


def test_generation_settings_reach_run(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    text = (folder / "small.yaml").read_text()
    text = text.replace("multiple_choice", "generate_until").replace(": label", ": answer")
    kept = [line for line in text.splitlines() if "doc_to_choice" not in line]
    (folder / "small.yaml").write_text("\n".join(kept))
    outputs = []
    for seed in ("0", "1", "0"):
        sampled = ["--gen_kwargs", "do_sample=true,temperature=1.0,max_gen_toks=8"]
        run(checkpoint, folder, tmp_path / "out", "--tasks", "small", "--seed", seed, *sampled)
        lines = (tmp_path / "out" / "samples_small.jsonl").read_text().splitlines()
        outputs.append([json.loads(line)["output"] for line in lines])
    assert outputs[0] == outputs[2] != outputs[1]
    assert max(map(len, outputs[0])) <= 8


def test_what_a_model_cannot_be_loaded_with_is_said_in_one_line(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = f"pretrained={checkpoint},load_in_4bit=True"
    assert main(["run", "--model", "hf", "--model_args", arguments, "--tasks", "antonym"]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    assert "load_in_4bit" in said.splitlines()[-1]
