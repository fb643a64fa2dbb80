"""Arms are timed in turn with their baseline, on the same documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.lm.loading import load
from harness.measuring import rounds
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from steering import SteeringVector
from tests.harness.lm.test_adapter import vector


@pytest.fixture
def session(checkpoint: Path, tmp_path: Path) -> Session:
    file = tmp_path / "tiny-pairs.json"
    pairs = [{"input": f"in{i}", "output": f"out{i % 3}"} for i in range(60)]
    file.write_text(json.dumps(pairs))
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    return Session(lm, "hf", {}, Sources(data=(str(file),)))


def test_each_round_asks_the_arm_and_then_the_baseline(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[SteeringVector | None, list[str]]] = []
    answered = rounds._answered

    def noted(lm, requests):  # type: ignore[no-untyped-def]
        asked.append((lm.vector, [request.args[0] for request in requests]))
        return answered(lm, requests)

    monkeypatch.setattr(rounds, "_answered", noted)
    own = vector("all")
    spec = session.spec("tiny-pairs", Arm("fv@few_shot", "few_shot", "fv"))
    found = session.rounds([spec], {"tiny-pairs": own})["tiny-pairs"]
    assert len(found.own_s) == len(found.plain_s or ()) == rounds.ROUNDS
    warm, *turns = asked
    assert [(v is not None) for v, _ in turns] == [True, False] * rounds.ROUNDS
    assert warm[1] == turns[0][1] != turns[1][1]
    assert [text.rpartition("Q:")[2] for text in turns[0][1]] == [
        text.rpartition("Q:")[2] for text in turns[1][1]
    ]
    assert found.ms_per_doc > 0


def test_the_baseline_itself_has_no_pair(session: Session) -> None:
    spec = session.spec("tiny-pairs", Arm("zero_shot"))
    assert session.rounds([spec], {})["tiny-pairs"].plain_s is None
