"""A whole fit of a function vector, and a sweep, against the naive protocol."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.lm.adapter import SteeredLM
from harness.measuring.measurement import Measurement
from harness.measuring.prompting import prompt
from harness.measuring.sources import Sources
from steering import Edit, FunctionVector, SteeringVector, resolve
from steering.effects import naive_log_probs
from steering.prompts import correct_prompts, shuffled_prompts
from steering.sweep import grid, sweep
from steering.tokens import prompt_ids
from task_defs import examples
from tests.benchmarks.conftest import Clock, ids

MEANS, EFFECTS = 8, 2
"""The paper's 100 and 25, in the same proportion."""


@torch.no_grad()
def naive_fit(model: Any, tokenizer: Any) -> torch.Tensor:
    """One forward pass per prompt, and one per head and prompt, as the papers' code does."""
    layout, task = resolve(model), examples("antonym", split="train")
    sums: list[list[torch.Tensor]] = [[] for _ in layout.projections]
    for text in prompt_ids(tokenizer, correct_prompts(task, MEANS, 10, 0)):
        handles = [
            projection.register_forward_pre_hook(
                lambda _module, inputs, kept=kept: kept.append(inputs[0][0, -1])
            )
            for projection, kept in zip(layout.projections, sums, strict=True)
        ]
        model(torch.tensor([text], device=model.device), use_cache=False)
        for handle in handles:
            handle.remove()
    means = layout.split_heads(torch.stack([torch.stack(kept).mean(dim=0) for kept in sums]), 0)
    heads = [(la, h) for la in range(layout.n_layers) for h in range(layout.n_heads)]
    prompts, answers = shuffled_prompts(task, EFFECTS, 10, 0)
    for text, answer in zip(prompt_ids(tokenizer, prompts), answers, strict=True):
        naive_log_probs(model, text, tokenizer.encode(answer)[:1], heads, means.cpu())
    return means


@pytest.mark.benchmark(group="fit of fv, 12 x 12, 10 shots")
@pytest.mark.parametrize("what", ["naive protocol", "fit"])
def test_fit(clock: Clock, small: Any, tokenizer: Any, what: str) -> None:
    method = FunctionVector(mean_prompts=MEANS, effect_prompts=EFFECTS, shots=10)
    if what == "fit":
        clock(lambda: method.fit(small, tokenizer, examples("antonym", split="train")))
    else:
        clock(lambda: naive_fit(small, tokenizer), baseline=True, rounds=1)


@pytest.mark.benchmark(group="sweep of 12 layers x 8 coefficients")
@pytest.mark.parametrize("tokens", [6, 100], ids=["zero-shot", "10-shot"])
@pytest.mark.parametrize("what", ["one evaluation per cell", "sweep"])
def test_sweep(clock: Clock, benchmark: Any, small: Any, tokens: int, what: str) -> None:
    benchmark.group += f", prompts of {tokens} tokens"
    edit = Edit("block_output", 0, "add", torch.randn(768), "continuation")
    cells = grid(SteeringVector((edit,)), range(12), [0.5 * i for i in range(1, 9)])
    prompts, answer = [ids(tokens, seed) for seed in range(4)], ids(1)

    def one_by_one() -> None:
        with torch.no_grad():
            for vector in cells:
                for text in prompts:
                    with vector.attached(small):
                        small(torch.tensor([text], device=small.device), use_cache=False)

    def swept() -> None:
        sweep(small, prompts, [answer] * len(prompts), cells)

    if what == "sweep":
        clock(swept)
    else:
        clock(one_by_one, baseline=True, rounds=1)


@pytest.mark.benchmark(group="sweep of 6 layers x 8 coefficients, built-in model, zero-shot task")
@pytest.mark.parametrize("what", ["one evaluation", "sweep"])
def test_sweep_of_a_task(clock: Clock, reference: SteeredLM, what: str) -> None:
    """The ratio is below 1: how many evaluations the 48 cells cost."""
    task = Sources().load("antonym")
    prompt(task, "zero_shot", seed=0, shots=0)
    measurement = Measurement(reference, task)
    edit = Edit("block_output", 0, "add", torch.randn(256), "continuation")
    cells = grid(SteeringVector((edit,)), range(6), [0.5 * i for i in range(1, 9)])
    if what == "sweep":
        clock(lambda: sweep(reference.model, *measurement.token_ids(), cells))
    else:
        clock(measurement.ask, baseline=True)
