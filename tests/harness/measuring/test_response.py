"""Slopes of single documents, against lm-eval's own scores at each strength."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.lm.loading import load
from harness.measuring.measurement import Measurement
from harness.measuring.response import STRENGTHS, response
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from tests.harness.tiny import save_checkpoint

SETTINGS = {
    "fv": {"mean_prompts": 8, "effect_prompts": 2, "shots": 2, "coefficient": 8.0, "seed": 0},
    "icv": {"pairs": 8, "coefficient": 0.4, "seed": 0},
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    checkpoint = save_checkpoint(tmp_path / "checkpoint", positions=100)
    pairs = [{"input": f"in{i}", "output": f"out{i % 3}"} for i in range(60)]
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps(pairs))
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    return Session(lm, "hf", {}, Sources(data=(str(file),)), limit=5)


@pytest.mark.parametrize("method", SETTINGS)
def test_slopes_are_those_of_lm_eval_scores(session: Session, method: str) -> None:
    spec = session.spec("tiny-pairs", Arm(method, method=method))
    fitter = Tuner(session).fitter
    vector = fitter.fit(method, SETTINGS[method], session.examples("tiny-pairs")).vector
    wording = session.manner.wording("tiny-pairs")
    task = session.task(spec, spec.arm)
    found = response(session.lm, task, vector, limit=5, wording=wording)
    assert found is not None
    columns = []
    for part in STRENGTHS:
        own = session.task(spec, spec.arm)
        steered = vector.with_coefficient(vector.coefficient * part)
        documents = session.measure({"tiny-pairs": own}, {"tiny-pairs": steered})["tiny-pairs"]
        columns.append([document["target_logprob"] for document in documents.documents])
    tokens = [
        len(session.lm.tokenizer(f" {document['target']}")["input_ids"])
        for document in documents.documents
    ]
    for slope, values, n in zip(found.slopes, zip(*columns, strict=True), tokens, strict=True):
        expected = np.polyfit(STRENGTHS, np.array(values) / n, 1)[0]
        assert slope == pytest.approx(expected, abs=1e-4)
    assert len({round(slope or 0, 6) for slope in found.slopes}) > 1


def test_answers_that_are_generated_have_slopes_too(session: Session) -> None:
    spec = session.spec("detoxification", Arm("icv", method="icv"))
    vector = Tuner(session).fitter.fit("icv", SETTINGS["icv"], session.examples(spec.task)).vector
    wording = session.manner.wording(spec.task)
    task = session.task(spec, spec.arm)
    measurement = Measurement(session.lm, task, limit=3, wording=wording)
    found = response(session.lm, task, vector, limit=3, wording=wording)
    assert found is not None
    fits = [len(pair.tokens) <= session.lm.max_length for pair in measurement.pairs()]
    assert fits == [True, False, True]
    assert [bool(slope) for slope in found.slopes] == fits


def test_a_vector_that_breaks_the_model_has_no_slopes(session: Session) -> None:
    spec = session.spec("tiny-pairs", Arm("fv", method="fv"))
    vector = Tuner(session).fitter.fit("fv", SETTINGS["fv"], session.examples(spec.task)).vector
    wording = session.manner.wording(spec.task)
    broken = vector.with_coefficient(1e38)
    found = response(session.lm, session.task(spec, spec.arm), broken, limit=3, wording=wording)
    assert found is not None
    assert found.slopes == [None, None, None]
