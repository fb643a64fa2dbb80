"""Each architecture, loaded as a user loads it: equal to `hf`, and scoring equal to generation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.lm.adapter import SteeredLM
from steering import FunctionVector, InContextVector, SteeringVector
from task_defs import Examples, Template
from tests.harness.zoo import CONFIGS, save

PROMPTS = ("Q: hot\nA:", "Q: a much longer question?\nA:", "x", "Q: big\nA:")
STEPS = 8
EXAMPLES = Examples(
    "letters",
    tuple((a, b) for a, b in zip("abcdefghij", "ABCDEFGHIJ", strict=True)),
    2,
    Template("Q: {{input}}\nA:", "{{output}}"),
)
METHODS = {
    "fv": FunctionVector(mean_prompts=6, effect_prompts=3, top_heads=4, coefficient=4.0),
    "icv": InContextVector(pairs=8, coefficient=0.5),
}


def requests(kind: str, *arguments: tuple[object, ...]) -> list[Instance]:
    return [Instance(kind, {}, a, i) for i, a in enumerate(arguments)]


GENERATION = [(p, {"until": ["\x00"], "max_gen_toks": STEPS}) for p in PROMPTS]
SCORING = [(p, a) for p in PROMPTS for a in ("c", " a longer answer\n")]


RARE = ("openai-gpt", "gemma4", "afmoe", "lfm2", "falcon_h1", "qwen3_next", "gpt_neo", "bitnet")
"""Hybrids, layers of their own width, gates and norms after attention, a list from a block."""


@pytest.fixture(scope="module", params=[*CONFIGS, *RARE])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save(request.param, tmp_path_factory.mktemp(request.param))


def load(kind: type[HFLM], folder: Path) -> HFLM:
    return kind(str(folder), device="cpu", dtype="float32", batch_size=4)


@pytest.fixture(scope="module")
def lm(folder: Path) -> SteeredLM:
    return load(SteeredLM, folder)


@pytest.fixture(scope="module")
def vectors(lm: SteeredLM) -> dict[str, SteeringVector]:
    return {name: m.fit(lm.model, lm.tokenizer, EXAMPLES) for name, m in METHODS.items()}


def test_coefficient_zero_equals_hf(
    lm: SteeredLM, vectors: dict[str, SteeringVector], folder: Path
) -> None:
    plain = load(HFLM, folder)
    scored = plain.loglikelihood(requests("loglikelihood", *SCORING))
    written = plain.generate_until(requests("generate_until", *GENERATION))
    for vector in vectors.values():
        with lm.steer(vector, coefficient=0.0):
            assert lm.loglikelihood(requests("loglikelihood", *SCORING)) == scored
            assert lm.generate_until(requests("generate_until", *GENERATION)) == written


@pytest.mark.parametrize("method", METHODS)
def test_steered_scoring_agrees_with_steered_generation(
    lm: SteeredLM, vectors: dict[str, SteeringVector], method: str
) -> None:
    before = lm.generate_until(requests("generate_until", *GENERATION))
    with lm.steer(vectors[method]):
        written = lm.generate_until(requests("generate_until", *GENERATION))
        pairs = list(zip(PROMPTS, written, strict=True))
        scored = lm.loglikelihood(requests("loglikelihood", *pairs))
        assert lm.proof["max_logit_change"] > 0
        other = [(prompt, text[:-1] + "ab"[text[-1] == "a"]) for prompt, text in pairs]
        assert not any(g for _, g in lm.loglikelihood(requests("loglikelihood", *other)))
    assert [len(text) for text in written] == [STEPS] * len(PROMPTS)
    assert written != before
    assert all(is_greedy for _, is_greedy in scored)
