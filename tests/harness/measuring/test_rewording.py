"""Other wordings: the prompts that are asked, the values kept, and what names a measurement."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import task_defs
from harness.comparing.arm import evaluate
from harness.comparing.grid import Grid
from harness.errors import UsageError
from harness.lm.loading import load
from harness.measuring.asking import Asking
from harness.measuring.prompting import reword
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner

PAIRS = [{"input": f"in{i}", "output": f"out{i % 3}"} for i in range(40)]
OWN = ["{{input}} =>", "What is {{input}}?"]


def session(checkpoint: Path, templates: int, **sources: Any) -> Session:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    return Session(lm, "hf", {}, Sources(**sources), limit=4, asking=Asking(templates=templates))


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps(PAIRS))
    return str(file)


@pytest.mark.parametrize("arm", [Arm("zero_shot"), Arm("fv:default", method="fv", default=True),
                                 Arm("few_shot", prompting="few_shot")])  # fmt: skip
def test_values_are_those_of_the_reworded_task(checkpoint: Path, pairs: str, arm: Arm) -> None:
    own = session(checkpoint, 2, data=(pairs,))
    own.metric = "target_logprob"
    tuner = Tuner(own)
    spec = own.spec("tiny-pairs", arm)
    assert len(spec.templates) == 2
    (record,) = evaluate(tuner, [spec])
    vectors = {"tiny-pairs": tuner.vector(spec).fitted.vector} if arm.method else {}
    for place, text in enumerate(spec.templates):
        task = own.task(spec, arm)
        reword(task, text)
        found = own.measure({"tiny-pairs": task}, vectors)["tiny-pairs"]
        expected = [document["target_logprob"] for document in found.documents]
        kept = [sample["templates"][place] for sample in record.samples]
        assert kept == pytest.approx(expected, abs=1e-4)
    plain = [sample["target_logprob"] for sample in record.samples]
    assert [sample["templates"][0] for sample in record.samples] != pytest.approx(plain, abs=1e-3)
    asked = task.build_all_requests(limit=1, rank=0, world_size=1)
    assert asked is None
    shown = task.instances[0].args[0]
    assert shown.endswith(spec.templates[1].replace("{{input}}", task.instances[0].doc["input"]))
    if arm.prompting == "few_shot":
        assert "Q: " not in shown, "demonstrations are reworded too"


def test_controls_are_not_asked_again(checkpoint: Path, pairs: str) -> None:
    own = session(checkpoint, 1, data=(pairs,))
    for arm in (
        Arm("random_vector:fv", method="random_vector", matched="fv"),
        Arm("fv@few_shot", prompting="few_shot", method="fv"),
        Arm("instruction", prompting="instruction"),
    ):
        assert own.spec("tiny-pairs", arm).templates == ()


def test_without_templates_a_measurement_keeps_its_name(checkpoint: Path, pairs: str) -> None:
    plain, asked = (session(checkpoint, n, data=(pairs,)) for n in (0, 2))
    specs = [each.spec("tiny-pairs", Arm("zero_shot")) for each in (plain, asked)]
    assert "templates" not in specs[0].as_json()
    assert specs[0].run_id != specs[1].run_id
    assert dataclasses.replace(specs[1], templates=()).run_id == specs[0].run_id


def test_a_search_is_the_same(checkpoint: Path, pairs: str, tmp_path: Path) -> None:
    keys = []
    for number in (0, 2):
        own = session(checkpoint, number, data=(pairs,))
        searches = Tuner(own, tmp_path).searches
        keys.append(searches._key(own.spec("tiny-pairs", Arm("icv", method="icv")), {}))
    assert keys[0] == keys[1]


def test_wordings_of_a_task_come_before_those_of_its_suite(
    checkpoint: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load((task_defs.root() / "precision" / "antonym.yaml").read_text())
    content["include"] = str(task_defs.root() / "precision" / "_precision_task.yaml")
    content["task"] = "own-antonym"
    content["metadata"]["wordings"] = OWN
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    own = session(checkpoint, 2, include_path=str(tmp_path))
    assert own.spec("own-antonym", Arm("zero_shot")).templates == tuple(OWN)
    assert own.spec("antonym", Arm("zero_shot")).templates[0] == "Input: {{input}}\nOutput:"
    more = session(checkpoint, 3, include_path=str(tmp_path))
    assert more.spec("own-antonym", Arm("zero_shot")).templates == tuple(OWN)
    with pytest.raises(UsageError, match="'own-antonym' has 2 other wordings"):
        Grid(["antonym", "own-antonym"], [Arm("zero_shot")]).specs(Tuner(more))


@pytest.mark.parametrize("suite", ["precision", "behavior_shift"])
def test_built_in_wordings_ask_the_input_and_name_no_task(suite: str) -> None:
    found = task_defs.group(suite)["metadata"]["wordings"]
    assert set(found) == {"zero_shot", *(["paraphrase"] if suite == "behavior_shift" else [])}
    for texts in found.values():
        assert len(set(texts)) == len(texts) >= 5
        for text in texts:
            assert text.count("{{input}}") == 1
            assert not text.endswith((" ", "\n")), "the delimiter follows"
