"""The rank of the answer's first token, against logits of plain transformers."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import UsageError
from harness.lm.adapter import SteeredLM
from harness.lm.loading import load
from harness.lm.scoring import Scored
from harness.measuring.first_token import TOP, first_token
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from harness.tuning.sweeping import sweep_task
from harness.tuning.trials import Trials
from steering import SteeringVector

PAIRS = [{"input": f"in{i}", "output": "xyzuvw"[i % 6] + f"ut{i % 3}"} for i in range(90)]
VECTORS = {
    "fv": {"layer": 1, "coefficient": 8.0, "mean_prompts": 8, "effect_prompts": 2, "shots": 2},
    "icv": {"coefficient": 0.4, "pairs": 8},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-pairs.json"
    path.write_text(json.dumps(PAIRS))
    return path


@pytest.fixture
def made(checkpoint: Path, file: Path) -> Callable[..., Session]:
    def session(**settings: Any) -> Session:
        lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
        return Session(lm, "hf", {}, Sources(data=(str(file),)), **settings)

    return session


def ranks(
    checkpoint: Path, prompts: list[str], answers: list[str], vector: SteeringVector | None
) -> list[int]:
    """How many tokens are likelier than the answer's first one, by plain transformers."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    found = []
    for prompt, answer in zip(prompts, answers, strict=True):
        asked = tokenizer(prompt)["input_ids"]
        (first, *_) = tokenizer(prompt + answer)["input_ids"][len(asked) :]
        with torch.no_grad():
            if vector is None:
                logits = model(torch.tensor([asked])).logits[0, -1]
            else:
                with vector.attached(model):
                    logits = model(torch.tensor([asked])).logits[0, -1]
        order = logits.argsort(descending=True).tolist()
        found.append(order.index(first))
    return found


@pytest.mark.parametrize("prompting", ["zero_shot", "few_shot"])
@pytest.mark.parametrize("method", [None, "fv", "icv"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_ranks_are_those_of_plain_logits(
    made: Callable[..., Session], checkpoint: Path, method: str | None, prompting: str,
    batch_size: int,
) -> None:  # fmt: skip
    session = made(beside=("first_token_acc",))
    session.lm.batch_size_per_gpu = batch_size
    spec = session.spec("tiny-pairs", Arm(prompting, prompting))
    task = session.asked(spec)
    vector = None
    if method is not None:
        examples = session.examples("tiny-pairs")
        vector = Tuner(session).fitter.fit(method, VECTORS[method], examples).vector
    measured = session.measure(
        {"tiny-pairs": task}, {} if vector is None else {"tiny-pairs": vector}
    )["tiny-pairs"]
    requests = [instance.args for instance in task.instances]
    expected = ranks(checkpoint, [p for p, _ in requests], [a for _, a in requests], vector)
    assert len(set(expected)) > 2
    for name, k in TOP.items():
        found = [document[name] for document in measured.documents]
        assert found == [float(rank < k) for rank in expected]
        assert measured.metrics[name].value == pytest.approx(sum(found) / len(found))
        assert measured.metrics[name].higher_is_better


@pytest.mark.parametrize("method", ["fv", "icv"])
def test_a_search_by_the_metric_scores_as_one_document_after_the_other(
    made: Callable[..., Session], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, reached = made(), set()
    for metric, k in zip(TOP, (20, 30, 40), strict=True):  # a random model knows no answers
        monkeypatch.setitem(TOP, metric, k)
        session.metric = metric
        spec = session.spec("tiny-pairs", Arm(method, method=method), budget=4)
        trials = Trials(session, Tuner(session).fitter, spec, method)
        assert trials.headline == metric
        assert trials.measurement.scored
        every = [{**VECTORS[method], "coefficient": c} for c in (-64.0, -0.4, 0.1, 0.4, 64.0)]
        swept, alone = list(trials.swept(every)), list(trials.one_by_one(every))
        assert [each.scores for each in swept] == [each.scores for each in alone]
        reached |= {tuple(each.scores) for each in swept}
    assert len(reached) > 1


@pytest.mark.parametrize("metric", TOP)
def test_a_sweep_by_the_metric_reaches_what_trials_reach(
    made: Callable[..., Session], metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOP, metric, 30)
    session, coefficients = made(metric=metric), (-64.0, 0.1, 64.0)
    tuner, arm = Tuner(session), Arm("icv", method="icv")
    given = {key: value for key, value in VECTORS["icv"].items() if key != "coefficient"}
    swept = sweep_task(
        tuner, session.spec("tiny-pairs", Arm("zero_shot")), "icv", settings=given, layers=(),
        coefficients=coefficients, heads=(), split="validation", metric=metric,
    )  # fmt: skip
    trials = Trials(session, tuner.fitter, session.spec("tiny-pairs", arm, budget=4), "icv")
    alone = trials.one_by_one([{**given, "coefficient": c} for c in coefficients])
    expected = [sum(each.scores) / len(each.scores) for each in alone]
    assert swept.metric == metric
    assert [cell[metric] for cell in swept.cells] == pytest.approx(expected)


def test_they_are_measured_only_where_asked_for(made: Callable[..., Session]) -> None:
    plain, asked = made(), made(beside=("first_token_acc",))
    arm = Arm("zero_shot")
    assert plain.spec("tiny-pairs", arm).run_id != asked.spec("tiny-pairs", arm).run_id
    for session, there in ((plain, False), (asked, True)):
        task = session.asked(session.spec("tiny-pairs", arm))
        measured = session.measure({"tiny-pairs": task}, {})["tiny-pairs"]
        assert (set(TOP) <= set(measured.metrics)) is there
        assert (set(TOP) <= set(measured.documents[0])) is there
        assert session.headline(task) == ("acc", True)


def test_texts_have_no_first_token_to_rank(made: Callable[..., Session]) -> None:
    session = made(metric="first_token_acc")
    with pytest.raises(UsageError, match=r"sentiment_transfer.*first_token_acc"):
        session.headline(session.sources.load("sentiment_transfer"))


def test_an_answer_that_cannot_be_scored_is_wrong_and_a_kept_one_is_refused() -> None:
    assert set(first_token((-math.inf, False)).values()) == {0.0}
    assert first_token(pickle.loads(pickle.dumps(Scored((-1.0, False), 2)))) == {
        "first_token_acc": 0.0, "first_token_top_2": 0.0, "first_token_top_3": 1.0,
    }  # fmt: skip
    with pytest.raises(UsageError, match="cache"):
        first_token((-1.0, True))


def test_no_number_is_no_hit(checkpoint: Path) -> None:
    lm = SteeredLM(str(checkpoint), device="cpu", dtype="float32")
    with torch.no_grad():
        lm.model.lm_head.weight.fill_(math.nan)
    (answer,) = lm._loglikelihood_tokens([(("a", "b"), [5, 6], [7, 8])], disable_tqdm=True)
    assert set(first_token(answer).values()) == {0.0}
