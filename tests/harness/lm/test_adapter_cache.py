"""lm-eval's answer cache knows requests only: it must never hand one vector's answers on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook, CachingLM

from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments
from harness.lm.proof import vector_id
from steering import Edit, SteeringVector

REQUESTS = [Instance("loglikelihood", {}, ("Q: hot\nA:", " cold"), 0)]


@pytest.fixture(scope="module")
def lm(checkpoint: Path) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32")


@pytest.fixture
def vector() -> SteeringVector:
    return SteeringVector((Edit("block_output", 0, "add", torch.arange(32.0), "all"),))


@pytest.fixture
def cached(lm: SteeredLM, tmp_path: Path) -> Iterator[Callable[[str], CachingLM]]:
    opened: list[CachingLM] = []

    def make(name: str) -> CachingLM:
        opened.append(CachingLM.__new__(CachingLM))
        opened[-1].__init__(lm, str(tmp_path / name))
        return opened[-1]

    yield make
    for caching in opened:
        caching.dbdict.close()
    lm.cache_hook = CacheHook(None)


def test_a_steered_run_refuses_a_cache_that_does_not_name_its_vector(lm, vector, cached) -> None:
    with (
        lm.steer(vector),
        pytest.raises(BadArguments, match="use_cache=cache-" + vector_id(vector)),
    ):
        cached("answers.db")


def test_a_vector_is_refused_while_answers_are_being_cached(lm, vector, cached) -> None:
    caching = cached("answers.db")
    baseline = caching.loglikelihood(REQUESTS)
    with pytest.raises(BadArguments, match="requests, not vectors"), lm.steer(vector):
        pass
    assert caching.loglikelihood(REQUESTS) == baseline == lm.loglikelihood(REQUESTS)


def test_a_cache_that_names_the_vector_is_used(lm, vector, cached) -> None:
    with lm.steer(vector):
        plain = lm.loglikelihood(REQUESTS)
        caching = cached(f"cache-{vector_id(vector)}_rank0.db")
        assert caching.loglikelihood(REQUESTS) == plain
        calls = lm.proof["calls"]
        assert caching.loglikelihood(REQUESTS) == plain
        assert lm.proof["calls"] == calls  # answered from the cache


def test_the_id_changes_with_everything_that_steers(vector: SteeringVector) -> None:
    edit = vector.edits[0]
    others = [
        SteeringVector((Edit("block_output", 1, "add", edit.tensor, "all"),)),
        SteeringVector((Edit("mlp_output", 0, "add", edit.tensor, "all"),)),
        SteeringVector((Edit("block_output", 0, "replace", edit.tensor, "all"),)),
        SteeringVector((Edit("block_output", 0, "add", edit.tensor, "prompt"),)),
        SteeringVector((Edit("block_output", 0, "add", edit.tensor + 1e-6, "all"),)),
        SteeringVector((Edit("block_output", 0, "add", edit.tensor.bfloat16(), "all"),)),
        SteeringVector(vector.edits, coefficient=2.0),
        SteeringVector(vector.edits * 2),
    ]
    assert len({vector_id(v) for v in (vector, *others)}) == len(others) + 1
    assert vector_id(SteeringVector((edit,))) == vector_id(vector)
