"""What steering costs: forward passes, generation, and scoring through lm-eval."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.lm.adapter import SteeredLM
from harness.measuring.measurement import Measurement
from harness.measuring.prompting import prompt
from harness.measuring.sources import Sources
from harness.reference import weights
from steering import Edit, SteeringVector, resolve
from task_defs import examples, suites
from tests.benchmarks.conftest import DEVICE, Clock, ids

KINDS = ["plain", "fv", "icv"]


def vector(model: Any, kind: str) -> SteeringVector:
    layout = resolve(model)
    noise = torch.randn(layout.hidden_size, generator=torch.Generator().manual_seed(0))
    if kind == "fv":
        return SteeringVector((Edit("block_output", 3, "add", noise, "continuation"),))
    if kind in ("all positions", "folded"):
        return SteeringVector((Edit("block_output", 3, "add", noise, "all"),))
    edits = [Edit("mlp_output", la, "norm_preserving_add", noise) for la in range(layout.n_layers)]
    return SteeringVector(tuple(edits), 0.1)


@pytest.mark.benchmark(group="forward pass, 12 x 12, 64 tokens")
@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("kind", [*KINDS, "all positions", "folded"])
@torch.no_grad()
def test_forward(clock: Clock, benchmark: Any, small: Any, kind: str, batch: int) -> None:
    benchmark.group += f", batch {batch}"
    rows = torch.tensor([ids(64, seed) for seed in range(batch)], device=DEVICE)

    def forward() -> None:
        small(rows, use_cache=False, logits_to_keep=1)

    def steered() -> None:
        with own.attached(small):
            forward()

    own, rounds = vector(small, kind), 31 if batch == 1 else 5
    if kind == "plain":
        clock(forward, baseline=True, rounds=rounds)
    elif kind == "folded":  # at no cost but that of folding, once
        with own.attached(small, fold=True):
            clock(forward, rounds=rounds)
    else:
        clock(steered, beside=forward, rounds=rounds)


@pytest.mark.benchmark(group="generation of 32 tokens, 12 x 12")
@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_generation(clock: Clock, benchmark: Any, small: Any, kind: str, batch: int) -> None:
    benchmark.group += f", batch {batch}"
    rows = torch.tensor([ids(16, seed) for seed in range(batch)], device=DEVICE)
    mask = torch.ones_like(rows)

    def generate() -> None:
        small.generate(
            rows, attention_mask=mask, do_sample=False, min_new_tokens=32, max_new_tokens=32,
            pad_token_id=0,
        )  # fmt: skip

    def steered() -> None:
        with own.attached(small):
            generate()

    own = vector(small, kind)
    rounds = 9 if batch == 1 else 3
    if kind == "plain":
        clock(generate, baseline=True, rounds=rounds)
    else:
        clock(steered, beside=generate, rounds=rounds)


def asked(lm: Any, prompting: str) -> Measurement:
    task = Sources().load("antonym")
    prompt(task, prompting, seed=0, shots=10)
    return Measurement(lm, task)


@pytest.fixture(scope="module")
def hf() -> Any:
    return HFLM(str(weights()), dtype="float32", batch_size=32, device=DEVICE)


@pytest.mark.benchmark(group="scoring a precision task, built-in model")
@pytest.mark.parametrize("prompting", ["zero_shot", "few_shot"])
@pytest.mark.parametrize("kind", ["lm-eval hf", *KINDS])
def test_scoring(
    clock: Clock, benchmark: Any, reference: SteeredLM, hf: Any, kind: str, prompting: str
) -> None:
    benchmark.group += f", {prompting}"
    base = asked(hf, prompting).ask
    if kind == "lm-eval hf":
        clock(base, baseline=True)
        return
    own = None if kind == "plain" else vector(reference.model, kind)
    with reference.steer(own):
        clock(asked(reference, prompting).ask, beside=base, rounds=15)


@pytest.mark.benchmark(group="scoring 64 questions after the same 10 demonstrations")
@pytest.mark.parametrize("kind", ["lm-eval hf", "steergauge"])
def test_shared_prefix(clock: Clock, reference: SteeredLM, hf: Any, kind: str) -> None:
    pairs = examples("antonym", "train").pairs
    shown = "".join(f"Q: {x}\nA: {y}\n\n" for x, y in pairs[:10])
    requests = [
        Instance("loglikelihood", {}, (f"{shown}Q: {x}\nA:", f" {y}"), i)
        for i, (x, y) in enumerate(pairs[10:74])
    ]

    def base() -> Any:
        return hf.loglikelihood(requests, disable_tqdm=True)

    def ours() -> Any:
        return reference.loglikelihood(requests, disable_tqdm=True)

    for (found, greedy), (expected, likewise) in zip(ours(), base(), strict=True):
        assert greedy == likewise
        assert found == pytest.approx(expected, abs=1e-4)
    if kind == "lm-eval hf":
        clock(base, baseline=True)
    else:
        clock(ours, beside=base)


@pytest.mark.benchmark(group="an arm over all 18 precision tasks, zero-shot")
@pytest.mark.parametrize("how", ["task by task", "one pass"])
def test_an_arm(clock: Clock, reference: SteeredLM, how: str) -> None:
    """Each task under its own vector; the requests are tokenised in both."""
    tasks = suites()["precision"]
    vectors = {name: vector(reference.model, ("fv", "icv")[i % 2]) for i, name in enumerate(tasks)}
    requests = {}
    for name in tasks:
        task = Sources().load(name)
        prompt(task, "zero_shot", seed=0, shots=0)
        requests[name] = Measurement(reference, task).requests["loglikelihood"]

    def one_by_one() -> None:
        for name in tasks:
            with reference.steer(vectors[name]):
                reference.loglikelihood(requests[name], disable_tqdm=True)

    def together() -> None:
        with reference.steer_each(vectors):
            every = [request for name in tasks for request in requests[name]]
            reference.loglikelihood(every, disable_tqdm=True)

    if how == "task by task":
        clock(one_by_one, baseline=True)
    else:
        clock(together, beside=one_by_one)
