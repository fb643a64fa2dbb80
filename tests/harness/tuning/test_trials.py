"""The search: all configurations in one sweep, with the scores of one after the other."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.lm.loading import load
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from harness.tuning.search import Outcome, Search, search
from harness.tuning.searches import KeptTrials
from harness.tuning.trials import Trials, searched
from steering import Choice, Real, SteeringVector

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
    found = list(getattr(own, how)(SPACES[method]))
    expected = [alone(own, settings) for settings in SPACES[method]]
    assert [outcome.settings for outcome in found] == SPACES[method]
    for outcome, scores in zip(found, expected, strict=True):
        assert outcome.scores == pytest.approx(scores, abs=1e-4)
    assert len({tuple(scores) for scores in expected}) > 1 or metric == "acc"


@pytest.mark.parametrize("how", ["swept", "one_by_one"])
def test_a_setting_that_breaks_the_model_is_a_result(session: Session, how: str) -> None:
    own, settings = trials(session, "fv"), dict(SPACES["fv"][0])
    every = [settings, {**settings, "layer": 99}, {**settings, "coefficient": 1e38}]
    outcomes = list(getattr(own, how)(every))
    assert [bool(outcome.scores) for outcome in outcomes] == [True, False, False]
    assert "layer" in str(outcomes[1].error)
    assert "finite" in str(outcomes[2].error)


def test_a_dose_sets_the_coefficient(session: Session) -> None:
    own = trials(session, "icv", dose=0.05)
    found = own.search(searched("icv", session.lm.model, 0.05))
    assert "coefficient" not in found.space
    for trial in found.trials:
        settings = {**trial.settings, "seed": 0}
        vector: SteeringVector = own.fitter.fit("icv", settings, own.examples).vector
        assert session.gauge.measure(vector).kl == pytest.approx(0.05, rel=0.02)


SPACE = {"layer": Choice((2, 0, 1)), "coefficient": Real(0.1, 10.0, 1.0)}


def peak(settings: dict[str, float]) -> float:
    """The more, the nearer to layer 1 and a strength of 3."""
    return -abs(settings["layer"] - 1) - abs(math.log(settings["coefficient"] / 3))


def scored(every: list[dict[str, float]]) -> list[Outcome]:
    return [Outcome(settings, (peak(settings), peak(settings)), 0.5) for settings in every]


def test_the_default_comes_first_and_a_seed_asks_the_same() -> None:
    found = search(SPACE, scored, metric="acc", budget=24, seed=3, batch=6)
    assert found.trials[0].settings == {"layer": 2, "coefficient": 1.0}
    asked = [json.dumps(trial.settings) for trial in found.trials]
    assert len(set(asked)) == len(asked) == 24
    again = search(SPACE, scored, metric="acc", budget=24, seed=3, batch=6)
    assert [trial.settings for trial in again.trials] == [t.settings for t in found.trials]
    assert found.chosen.score == max(map(peak, (trial.settings for trial in found.trials)))
    assert found.seconds == 12.0
    assert found.documents == 2


def test_a_search_learns_where_good_configurations_lie() -> None:
    reached, drawn = [], []
    for seed in range(5):
        reached.append(search(SPACE, scored, metric="acc", budget=48, seed=seed).chosen.score)
        rng = random.Random(seed)
        blind = [{"layer": rng.choice((0, 1, 2)), "coefficient": 10 ** rng.uniform(-1, 1)}
                 for _ in range(48)]  # fmt: skip
        drawn.append(max(map(peak, blind)))
    assert sum(reached) > sum(drawn)


def test_what_an_interrupted_search_measured_is_not_measured_again(tmp_path: Path) -> None:
    asked: list[dict[str, float]] = []

    def measure(every: list[dict[str, float]]) -> Iterator[Outcome]:
        for settings in every:
            if len(asked) == 3:
                raise KeyboardInterrupt
            asked.append(settings)
            yield Outcome(settings, (peak(settings),), 0.1)

    whole = search(SPACE, scored, metric="acc", budget=8)
    file = tmp_path / "trials.jsonl"
    with pytest.raises(KeyboardInterrupt):
        search(SPACE, measure, metric="acc", budget=8, kept=KeptTrials(file))
    first, second, third = filter(None, file.read_bytes().split(b"\n"))
    file.write_bytes(b"\n".join([first, second.replace(b"0.1", b"0.2"), third[:-9]]))
    asked.clear()
    asked += [{}] * 4  # not interrupted again
    found = search(SPACE, measure, metric="acc", budget=8, kept=KeptTrials(file))
    assert [trial.settings for trial in found.trials] == [t.settings for t in whole.trials]
    assert len(asked) == 4 + 7, "one whole line is left"


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
    kept = search({"coefficient": Choice((0.4,))}, lambda _: [outcome], metric="joint", budget=1)
    again = Search.from_json(json.loads(json.dumps(kept.as_json())))
    assert again.trials[0].metrics == outcome.metrics


def test_a_batch_that_was_interrupted_is_measured_as_a_whole(tmp_path: Path) -> None:
    batches: list[int] = []

    def measure(every: list[dict[str, float]]) -> Iterator[Outcome]:
        batches.append(len(every))
        for number, settings in enumerate(every):
            if len(batches) == 2 and number == 1:
                raise KeyboardInterrupt
            yield Outcome(settings, (peak(settings),), 0.1)

    file = tmp_path / "trials.jsonl"
    with pytest.raises(KeyboardInterrupt):
        search(SPACE, measure, metric="acc", budget=9, batch=3, kept=KeptTrials(file))
    found = search(SPACE, measure, metric="acc", budget=9, batch=3, kept=KeptTrials(file))
    assert batches == [3, 3, 3, 3], "the first batch once, the second again and whole"
    whole = search(SPACE, scored, metric="acc", budget=9, batch=3)
    assert [trial.settings for trial in found.trials] == [t.settings for t in whole.trials]
