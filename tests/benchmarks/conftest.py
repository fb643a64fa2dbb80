"""Models and a stopwatch; every group holds its own baseline, so that figures are ratios."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from harness.adapter import SteeredLM
from harness.model import load

Clock = Callable[..., Any]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="session", autouse=True)
def threads() -> None:
    torch.set_num_threads(os.cpu_count() or 1)


@pytest.fixture
def clock(benchmark: Any) -> Clock:
    """Time a call; `baseline=True` marks what the others of the group are compared with.

    `against=(axis, value, series)` makes it a point of a curve in the report.
    """

    def timed(
        call: Callable[[], Any], *, baseline: bool = False, rounds: int = 7,
        against: tuple[str, float, str] | None = None,
    ) -> Any:  # fmt: skip
        benchmark.extra_info["baseline"] = baseline
        if against is not None:
            benchmark.extra_info["against"] = against

        def finished() -> Any:
            found = call()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            return found

        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found = benchmark.pedantic(finished, rounds=rounds, warmup_rounds=int(rounds > 1))
        if DEVICE == "cuda":
            benchmark.extra_info["peak_bytes"] = torch.cuda.max_memory_allocated()
        return found

    return timed


@pytest.fixture(scope="session")
def reference() -> SteeredLM:
    return load("reference", {}, batch_size="32")


def shaped(layers: int, heads: int, width: int = 768) -> Any:
    """A random model of GPT-2's layout with the built-in model's vocabulary."""
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=layers, n_head=heads, n_embd=width, n_positions=1024, vocab_size=50257,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval().to(DEVICE)


@pytest.fixture(scope="session")
def small() -> Any:
    """12 layers of 12 heads, as GPT-2 small."""
    return shaped(12, 12)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from harness.reference import weights

    return AutoTokenizer.from_pretrained(str(weights()))


def ids(n: int, seed: int = 0) -> list[int]:
    """Random tokens that every model here has."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, 500, (n,), generator=generator).tolist()


def folder_of(model: Any, tokenizer: Any, place: Path) -> Path:
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place
