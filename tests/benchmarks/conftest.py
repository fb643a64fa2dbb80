"""Models and a stopwatch; every group holds its own baseline, so that figures are ratios."""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from harness.lm.adapter import SteeredLM
from harness.lm.loading import load

Clock = Callable[..., Any]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="session", autouse=True)
def threads() -> None:
    torch.set_num_threads(os.cpu_count() or 1)


@pytest.fixture
def clock(benchmark: Any) -> Clock:
    """Time a call; `baseline=True` marks what the others of the group are compared with.

    `beside=call` runs the baseline's work before every round, so that a small difference is a
    median of pairs and not of two stretches of time. `against=(axis, value, series)` makes it a
    point of a curve in the report. `flops=n` states the work of a call.
    """

    def timed(
        call: Callable[[], Any], *, baseline: bool = False, rounds: int = 7,
        beside: Callable[[], Any] | None = None, against: tuple[str, float, str] | None = None,
        flops: int | None = None,
    ) -> Any:  # fmt: skip
        facts = {"baseline": baseline, "against": against, "flops": flops}
        benchmark.extra_info.update({k: v for k, v in facts.items() if v is not None})
        before: list[float] = []

        def finished(work: Callable[[], Any]) -> Any:
            found = work()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            return found

        def base() -> None:
            if beside is not None:
                started = time.perf_counter()
                finished(beside)
                before.append(time.perf_counter() - started)

        with peak() as memory:
            found = benchmark.pedantic(
                finished, (call,), setup=base, rounds=rounds, warmup_rounds=int(rounds > 1)
            )
        benchmark.extra_info.update(memory)
        if before:
            rounds_of = benchmark.stats.stats.data
            pairs = zip(before[-len(rounds_of) :], rounds_of, strict=True)
            benchmark.extra_info["beside"] = statistics.median(own / b for b, own in pairs)
        return found

    return timed


@contextmanager
def peak() -> Iterator[dict[str, int]]:
    """What a block takes at its peak beyond what is held before it (`peak_bytes`).

    On a GPU the allocator says so, on Linux the kernel; elsewhere nobody does.
    """
    found: dict[str, int] = {}
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        yield found
        found["peak_bytes"] = torch.cuda.max_memory_allocated() - held
        return
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    except OSError:
        yield found
        return
    held = _resident("VmRSS")
    yield found
    found["peak_bytes"] = max(0, _resident("VmHWM") - held)


def _resident(line: str) -> int:
    status = Path("/proc/self/status").read_text().split(f"{line}:")[1]
    return 1024 * int(status.split()[0])


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
