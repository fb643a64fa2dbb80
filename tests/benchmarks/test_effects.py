"""Effects of all heads: one branched pass against one forward pass per head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.lm.adapter import SteeredLM
from steering import mean_head_activations, resolve
from steering.effects import PATHS
from steering.prompts import shuffled_prompts
from steering.tokens import answer_ids
from task_defs import examples
from tests.benchmarks.conftest import DEVICE, Clock, ids, shaped

NAMES = ["naive", "cached_prefix", "branching", "staged"]


PROMPTS = 4


def batch() -> tuple[list[list[int]], list[list[int]]]:
    """Prompts of about 100 tokens and their answers."""
    return [ids(96 + seed, seed) for seed in range(PROMPTS)], [ids(1)] * PROMPTS


def every_head(model: Any) -> list[tuple[int, int]]:
    layout = resolve(model)
    return [(la, h) for la in range(layout.n_layers) for h in range(layout.n_heads)]


@pytest.fixture(scope="module")
def case(reference: SteeredLM) -> tuple[Any, list[list[int]], list[list[int]], Any]:
    """10-shot prompts of the built-in model, of different lengths."""
    model, tokenizer = reference.model, reference.tokenizer
    prompts, answers = shuffled_prompts(examples("antonym", split="train"), PROMPTS, 10, 0)
    means = mean_head_activations(model, tokenizer, prompts)
    asked, wanted = answer_ids(tokenizer, prompts, answers)
    return model, asked, [answer[:1] for answer in wanted], means


@pytest.mark.benchmark(group="AIE, built-in model, 10 shots")
@pytest.mark.parametrize("path", NAMES)
def test_built_in(clock: Clock, case: Any, path: str) -> None:
    model, prompts, answers, means = case
    expected = PATHS["naive"](model, prompts, answers, every_head(model), means)
    found = clock(
        lambda: PATHS[path](model, prompts, answers, every_head(model), means),
        baseline=path == "naive",
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.benchmark(group="AIE, 12 x 12, 100 tokens")
@pytest.mark.parametrize("path", NAMES)
def test_gpt2_small_shape(clock: Clock, small: Any, path: str) -> None:
    layout = resolve(small)
    means = torch.randn(layout.n_layers, layout.n_heads, layout.head_dim)
    clock(
        lambda: PATHS[path](small, *batch(), every_head(small), means),
        baseline=path == "naive",
        rounds=1 if path == "naive" else 7,
    )


@pytest.mark.benchmark(group="AIE, heads times 4 at one width")
@pytest.mark.parametrize("heads", [3, 12])
def test_more_heads(clock: Clock, heads: int) -> None:
    model = shaped(12, heads)
    layout = resolve(model)
    means = torch.randn(layout.n_layers, layout.n_heads, layout.head_dim)
    clock(
        lambda: PATHS["staged"](model, *batch(), every_head(model), means),
        baseline=heads == 3,
    )


@pytest.mark.benchmark(group="matrix rate, 12 x 12")
@pytest.mark.parametrize("what", ["one matrix product", "effects of all heads"])
def test_share_of_the_matrix_rate(clock: Clock, small: Any, what: str) -> None:
    """Counted operations per second: of the passes, and of one large product."""
    if what == "one matrix product":
        x = torch.randn(2048, 2048, device=DEVICE)
        clock(lambda: x @ x, baseline=True, rounds=21, flops=2 * 2048**3)
        return
    layout, heads = resolve(small), every_head(small)
    means = torch.randn(layout.n_layers, layout.n_heads, layout.head_dim)

    def effects() -> None:
        PATHS["staged"](small, *batch(), heads, means)

    with FlopCounterMode(display=False) as counted:
        effects()
    clock(effects, flops=counted.get_total_flops())
