"""Each task under a vector of its own, in shared batches, against one task after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from harness.lm.adapter import SilentNoOp, SteeredLM
from harness.lm.arguments import BadArguments
from harness.lm.vectors import Vectors
from steering import Edit, SteeringVector

PROMPTS = ("Q: hot\nA:", "Q: a much longer question?\nA:", "x", "Q: big\nA:", "ab, ab, ab,")
TASKS = ("one", "two", "three", "plain")


def vectors(positions: str = "continuation") -> dict[str, SteeringVector]:
    def noise(seed: int) -> torch.Tensor:
        return 2 * torch.randn(32, generator=torch.Generator().manual_seed(seed))

    every = [
        Edit("mlp_output", layer, "norm_preserving_add", noise(layer), "all") for layer in range(3)
    ]
    return {
        "one": SteeringVector((Edit("block_output", 0, "add", noise(7), positions),)),
        "two": SteeringVector((Edit("block_output", 2, "add", noise(8), positions),), 2.0),
        "three": SteeringVector(tuple(every), 0.8),
    }


def requests(kind: str, *rest: Any) -> list[Instance]:
    """The same texts in every task, one task after the other."""
    pairs = [(task, prompt) for task in TASKS for prompt in PROMPTS]
    return [
        Instance(kind, {}, (prompt, *rest), i, (task, i, 1))
        for i, (task, prompt) in enumerate(pairs)
    ]


SCORING = requests("loglikelihood", " yes")
GENERATION = requests("generate_until", {"until": ["\x00"], "max_gen_toks": 8})


@pytest.fixture(scope="module")
def lm(checkpoint: Path) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32", batch_size=8)


def one_by_one(lm: SteeredLM, kind: str, asked: list[Instance]) -> list[Any]:
    answers = []
    for task in TASKS:
        with lm.steer(vectors().get(task)):
            answers += getattr(lm, kind)([each for each in asked if each.task_name == task])
    return answers


def test_scoring(lm: SteeredLM) -> None:
    with lm.steer_each(vectors()):
        together = lm.loglikelihood(SCORING)
    alone = one_by_one(lm, "loglikelihood", SCORING)
    assert [greedy for _, greedy in together] == [greedy for _, greedy in alone]
    for (found, _), (expected, _) in zip(together, alone, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    texts = {PROMPTS[0]: {round(together[i * len(PROMPTS)][0], 3) for i in range(len(TASKS))}}
    assert len(texts[PROMPTS[0]]) == len(TASKS), "one text, another score under each vector"


def test_generation(lm: SteeredLM) -> None:
    with lm.steer_each(vectors()):
        together = lm.generate_until(GENERATION)
    assert together == one_by_one(lm, "generate_until", GENERATION)
    assert len({tuple(together[i :: len(PROMPTS)]) for i in range(len(PROMPTS))}) > 1


def test_every_vector_proves_itself(lm: SteeredLM) -> None:
    with lm.steer_each(vectors()):
        lm.loglikelihood(SCORING)
        info = lm.get_model_info()["steering"]
    assert set(info) == set(lm.proofs) == set(vectors())
    for proof in lm.proofs.values():
        assert proof["max_logit_change"] > 0
        assert proof["calls"] > 1
    silent = SteeringVector((Edit("block_output", 0, "add", torch.zeros(32)),))
    with lm.steer_each({**vectors(), "two": silent}), pytest.raises(SilentNoOp, match="nothing"):
        lm.loglikelihood(SCORING)
    with lm.steer_each(vectors("generated")), pytest.raises(SilentNoOp, match="one token"):
        lm.loglikelihood([Instance("loglikelihood", {}, ("x", "c"), 0, ("one", 0, 1))])


def test_whole_texts_are_scored_under_one_vector(lm: SteeredLM) -> None:
    with lm.steer_each(vectors()), pytest.raises(BadArguments, match="one vector for all tasks"):
        lm.loglikelihood_rolling(requests("loglikelihood_rolling"))


def test_nothing_stays(lm: SteeredLM) -> None:
    before = lm.loglikelihood(SCORING)
    with pytest.raises(ZeroDivisionError), lm.steer_each(vectors()):
        raise ZeroDivisionError
    assert lm.loglikelihood(SCORING) == before
    assert lm.vector is None


def test_a_vector_that_rightly_leaves_every_row_alone_is_said_and_counted() -> None:
    """A rotation acts on the wrong side only; that no row lies there is a result, not a fault."""
    edit = Edit(
        "block_output", 1, "rotate", torch.ones(32), "continuation",
        parameters={"kappa": 1.0, "beta": 1.0},
    )  # fmt: skip
    turning = Vectors({None: SteeringVector((edit,), 0.5)})
    plain = torch.zeros(1, 3, 5)
    turning.prove(None, plain, plain, fired=True)
    assert turning.unproven(None, later=1)
    with pytest.warns(UserWarning, match="left all rows as they are"):
        turning.require_proof([None])
    assert turning.proofs[None]["max_logit_change"] == 0.0
    add = Vectors({None: SteeringVector((Edit("block_output", 1, "add", torch.ones(32)),), 0.5)})
    with pytest.raises(SilentNoOp):
        add.prove(None, plain, plain, fired=True)
