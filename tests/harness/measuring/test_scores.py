"""Several filters, and metrics that are no mean: beside lm-eval's own values on the same task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from harness.errors import UsageError
from harness.lm.adapter import SteeredLM
from harness.lm.loading import load
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from harness.tuning.trials import Trials
from steering import Edit, SteeringVector

UTILS = """
from datasets import Dataset, DatasetDict

def rows(split):
    return [
        {
            "input": f"{split}{i}",
            "output": "ab cd"[i % 5] * (1 + i % 3),
            "label": i % 2,
            "text": "ab " * i,
        }
        for i in range(1, 13)
    ]


def load(**_):
    splits = ("train", "validation", "test")
    return DatasetDict({name: Dataset.from_list(rows(name)) for name in splits})
"""
BASE = """
custom_dataset: !function utils.load
training_split: train
validation_split: validation
test_split: test
fewshot_split: train
doc_to_text: "Q: {{input}}\\nA:"
metadata: {suite: own, shots: 2, version: 1.0}
"""
TASKS = {
    "filtered": """
doc_to_target: "{{output}}"
output_type: generate_until
generation_kwargs: {until: ["\\n"], max_gen_toks: 12}
filter_list:
  - name: whole
    filter: [{function: take_first}]
  - name: letter
    filter:
      - {function: regex, regex_pattern: "([a-e])"}
      - {function: take_first}
  - name: last
    filter:
      - {function: regex, regex_pattern: "([a-z])", group_select: -1}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
""",
    "repeated": """
doc_to_target: "{{output}}"
output_type: generate_until
repeats: 3
generation_kwargs: {until: ["\\n"], max_gen_toks: 3, do_sample: true, temperature: 1.0}
filter_list:
  - name: vote
    filter: [{function: majority_vote}, {function: take_first}]
  - name: first
    filter: [{function: take_first}]
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    "classes": """
doc_to_target: label
doc_to_choice: ["a", "b"]
output_type: multiple_choice
metric_list:
  - {metric: mcc, aggregation: matthews_corrcoef, higher_is_better: true}
  - {metric: f1, aggregation: f1, higher_is_better: true}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "texts": """
doc_to_text: ""
doc_to_target: "{{text}}"
output_type: loglikelihood_rolling
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "utils.py").write_text(UTILS)
    for name, content in TASKS.items():
        keys = [line for line in BASE.splitlines() if line.split(":")[0] not in content]
        (folder / f"{name}.yaml").write_text("\n".join([f"task: {name}", *keys]) + content)
    return folder


@pytest.fixture(scope="module")
def lm(checkpoint: Path) -> SteeredLM:
    return load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)


@pytest.fixture
def session(lm: SteeredLM, folder: Path) -> Session:
    return Session(lm, "hf", {}, Sources(str(folder)))


def vector() -> SteeringVector:
    generator = np.random.default_rng(0)
    import torch

    tensor = torch.tensor(generator.normal(size=32), dtype=torch.float32)
    return SteeringVector((Edit("block_output", 1, "add", tensor, "all"),), 0.7)


def of_lm_eval(lm: SteeredLM, folder: Path, name: str) -> dict[str, Any]:
    loaded = TaskManager(include_path=str(folder), include_defaults=False).load([name])
    found: Any = evaluate(lm, loaded, bootstrap_iters=10)
    return found


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("steered", [False, True])
def test_metrics_are_lm_evals(
    lm: SteeredLM, session: Session, folder: Path, name: str, steered: bool
) -> None:
    own = {name: vector()} if steered else {}
    task = session.task(session.spec(name, Arm("zero_shot")), Arm("zero_shot"))
    measured = session.measure({name: task}, own)[name]
    with lm.steer(own.get(name)):
        theirs = of_lm_eval(lm, folder, name)["results"][name]
    names = {key for key in theirs if "," in key and "_stderr" not in key}
    several = len(task._filters) > 1
    expected = {key if several else key.partition(",")[0]: theirs[key] for key in names}
    assert set(measured.metrics) == set(expected)
    assert len(measured.documents) == 12
    assert len({document["doc_id"] for document in measured.documents}) == 12
    for key, metric in measured.metrics.items():
        assert metric.value == pytest.approx(expected[key], rel=1e-6)
        values = [document[key] for document in measured.documents]
        assert metric.n == len(values) == 12
        assert np.mean(values) == pytest.approx(metric.value, rel=1e-9), "one number, everywhere"


def test_the_headline_is_the_first_metric_under_the_first_filter(session: Session) -> None:
    task = session.sources.load("filtered")
    assert session.headline(task) == ("exact_match,whole", True)
    session.metric = "exact_match,last"
    assert session.headline(task) == ("exact_match,last", True)
    session.metric = "exact_match"
    assert session.headline(task) == ("exact_match,whole", True)
    session.metric = "f1"
    with pytest.raises(UsageError, match=r"no metric 'f1'; its metrics: exact_match,whole"):
        session.headline(task)
    session.metric = None
    assert session.headline(session.sources.load("texts")) == ("word_perplexity", False)


@pytest.mark.parametrize("name", ["filtered", "repeated", "classes"])
def test_tuning_uses_exactly_the_headline(session: Session, name: str) -> None:
    metric = {"filtered": "exact_match,last", "repeated": "exact_match,vote", "classes": "f1"}[name]
    session.metric = metric
    arm = Arm("icv", method="icv")
    spec = session.spec(name, arm)
    assert spec.run_id != Session(session.lm, "hf", {}, session.sources).spec(name, arm).run_id
    trials = Trials(session, Tuner(session).fitter, spec, "icv")
    (outcome,) = trials.one_by_one([{"coefficient": 0.4, "pairs": 4}])
    assert outcome.error is None
    fitted = trials.fitter.fit(
        "icv", {"coefficient": 0.4, "pairs": 4, "seed": 0}, trials.examples
    ).vector
    task = session.task(spec, arm, "tuning")
    measured = session.measure({name: task}, {name: fitted})[name]
    assert np.mean(outcome.scores) == pytest.approx(measured.metrics[metric].value)
    assert outcome.scores == pytest.approx([each[metric] for each in measured.documents])


def test_documents_are_written_once_with_every_filter(session: Session) -> None:
    task = session.sources.load("filtered")
    document = session.measure({"filtered": task}, {})["filtered"].documents[0]
    names = [f"exact_match,{each}" for each in ("whole", "letter", "last")]
    assert [key for key in document if key.startswith("exact")] == names
    assert json.dumps(document)
