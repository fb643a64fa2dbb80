"""The search: all configurations in one sweep, with the scores of one after the other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.lm.loading import load
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from harness.tuning.search import Outcome, Search, configurations, search
from harness.tuning.trials import Trials
from steering import SteeringVector

SPACES = {
    "fv": [{"layer": la, "coefficient": c, "mean_prompts": 8, "effect_prompts": 2, "shots": 2}
           for la in (0, 1) for c in (1.0, -8.0, 64.0)],
    "icv": [{"coefficient": c, "contrast": kind, "pairs": 8}
            for c in (0.1, 1.6) for kind in ("pairs", "off_task")],
}  # fmt: skip


@pytest.fixture
def session(checkpoint: Path, tmp_path: Path) -> Session:
    pairs = [{"input": f"in{i}", "output": f"out{i % 3}"} for i in range(60)]
    file = tmp_path / "tiny-pairs.json"
    file.write_text(json.dumps(pairs))
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    return Session(lm, "hf", {}, Sources(data=(str(file),)))


def trials(
    session: Session, method: str, task: str = "tiny-pairs", dose: float | None = None
) -> Trials:
    spec = session.spec(task, Arm(method, method=method), dose=dose)
    return Trials(session, Tuner(session).fitter, spec, method)


def alone(own: Trials, settings: dict[str, object]) -> list[float]:
    vector = own.fitter.fit(own.method, {**settings, "seed": 0}, own.examples).vector
    with own.session.lm.steer(vector):
        documents = own.measurement.ask()
    documents = own.session.complete(own.task, documents)
    return [float(document[own.headline]) for document in documents]


@pytest.mark.parametrize("method", ["fv", "icv"])
@pytest.mark.parametrize("metric", ["acc", "target_logprob"])
@pytest.mark.parametrize("how", ["swept", "one_by_one"])
@pytest.mark.parametrize("chat", [False, True])
def test_given_answers(session: Session, method: str, metric: str, how: str, chat: bool) -> None:
    session.chat_template = chat
    own = trials(session, method)
    own.headline = metric
    assert own.measurement.scored
    found = getattr(own, how)(SPACES[method])
    expected = [alone(own, settings) for settings in SPACES[method]]
    assert [outcome.settings for outcome in found] == SPACES[method]
    for outcome, scores in zip(found, expected, strict=True):
        assert outcome.scores == pytest.approx(scores, abs=1e-4)
    assert len({tuple(scores) for scores in expected}) > 1 or metric == "acc"


@pytest.mark.parametrize("how", ["swept", "one_by_one"])
def test_a_setting_that_breaks_the_model_is_a_result(session: Session, how: str) -> None:
    own, settings = trials(session, "fv"), dict(SPACES["fv"][0])
    every = [settings, {**settings, "layer": 99}, {**settings, "coefficient": 1e38}]
    outcomes = getattr(own, how)(every)
    assert [bool(outcome.scores) for outcome in outcomes] == [True, False, False]
    assert "layer" in str(outcomes[1].error)
    assert "finite" in str(outcomes[2].error)


def test_a_dose_sets_the_coefficient(session: Session) -> None:
    own = trials(session, "icv", dose=0.05)
    found = own.search()
    assert "coefficient" not in found.space
    for trial in found.trials:
        settings = {**trial.settings, "seed": 0}
        vector: SteeringVector = own.fitter.fit("icv", settings, own.examples).vector
        assert session.gauge.measure(vector).kl == pytest.approx(0.05, rel=0.02)


def test_the_default_comes_first_and_the_earliest_best_is_chosen() -> None:
    space = {"layer": (2, 0, 1), "coefficient": (1.0, 2.0)}
    every = configurations(space, 4, seed=3)
    assert every[0] == {"layer": 2, "coefficient": 1.0}
    assert len({tuple(settings.items()) for settings in every}) == len(every) == 4

    def measure(asked: list[dict[str, float]]) -> list[Outcome]:
        assert asked == every
        scores = [(0.0, 0.0), (1.0, 0.0), (), (0.0, 1.0)]
        return [
            Outcome(settings, own, 0.5, None if own else "broken")
            for settings, own in zip(asked, scores, strict=True)
        ]

    found = search(space, measure, metric="acc", budget=4, seed=3)
    assert found.chosen.settings == every[1]
    assert found.documents == 2
    assert found.seconds == 2.0
    assert math.isnan(found.trials[2].score)
    assert found.trials[2].error == "broken"


def test_trials_of_a_product_keep_its_factors(session: Session) -> None:
    """What a gain of the attribute costs in content is read off them, and off the bare question."""
    session.limit = 3
    own = trials(session, "icv", "detoxification")
    settings = {"coefficient": 0.4, "pairs": 8}
    (outcome,) = own.one_by_one([settings])
    vector = own.fitter.fit("icv", {**settings, "seed": 0}, own.examples).vector
    with session.lm.steer(vector):
        steered = session.complete(own.task, own.measurement.ask())
    bare = session.complete(own.task, own.measurement.ask())
    for documents, found in ((steered, outcome.trial().metrics), (bare, own.unsteered())):
        assert set(found) == {"attribute", "content", "fluency"}
        for name, value in found.items():
            assert value == pytest.approx(sum(d[name] for d in documents) / 3)
    kept = search({"coefficient": (0.4,)}, lambda _: [outcome], metric="joint", budget=1)
    again = Search.from_json(json.loads(json.dumps(kept.as_json())))
    assert again.trials[0].metrics == outcome.metrics
