"""What steering costs: forward passes, generation, and scoring through lm-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from harness.adapter import SteeredLM
from harness.measurement import Measurement
from harness.reference import weights
from harness.sources import Sources
from steering import Edit, SteeringVector, resolve
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

    if kind == "plain":
        clock(forward, baseline=True)
    else:
        with vector(small, kind).attached(small, fold=kind == "folded"):
            clock(forward)


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

    if kind == "plain":
        clock(generate, baseline=True, rounds=5)
    else:
        with vector(small, kind).attached(small):
            clock(generate, rounds=5)


@pytest.mark.benchmark(group="scoring a precision task, built-in model")
@pytest.mark.parametrize("prompting", ["zero_shot", "few_shot"])
@pytest.mark.parametrize("kind", ["lm-eval hf", "plain", "fv", "icv"])
def test_scoring(
    clock: Clock, benchmark: Any, reference: SteeredLM, kind: str, prompting: str, tmp_path: Path
) -> None:
    from harness.prompting import prompt

    benchmark.group += f", {prompting}"
    lm: Any = reference
    if kind == "lm-eval hf":
        lm = HFLM(str(weights()), dtype="float32", batch_size=32, device=DEVICE)
    task = Sources().load("antonym")
    prompt(task, prompting, seed=0, shots=10)
    measurement = Measurement(lm, task)
    if kind in KINDS[1:]:
        with reference.steer(vector(reference.model, kind)):
            clock(measurement.ask)
    else:
        clock(measurement.ask, baseline=kind == "lm-eval hf")
