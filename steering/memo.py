"""Share the expensive parts of fits: what was computed once in a block is not computed again."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass
class Memory:
    """Results by key, what each took, and the seconds that reuse has saved so far.

    Attributes:
        bound: Bytes that a branched pass may take for its logits and activations.
    """

    results: dict[Hashable, Any] = field(default_factory=dict)
    seconds: dict[Hashable, float] = field(default_factory=dict)
    saved: float = 0.0
    bound: int | None = None


_memory: ContextVar[Memory | None] = ContextVar("steering_memory", default=None)


@contextmanager
def remembering(bound: int | None = None) -> Iterator[Memory]:
    """Inside the block, activations and effects are computed once per model, texts and settings.

    Args:
        bound: Bytes that a branched pass may take; None leaves it to `branching`.

    Yields:
        The memory; its `saved` seconds let a caller state what a fit would have cost alone.
    """
    outer = _memory.get()
    memory = outer or Memory(bound=bound)
    token = _memory.set(memory)
    try:
        yield memory
    finally:
        _memory.reset(token)


def saved_seconds() -> float:
    """Seconds that reuse has saved in the present block; 0 outside of one."""
    memory = _memory.get()
    return memory.saved if memory else 0.0


def memory_bound() -> int | None:
    """Bytes that a branched pass of the present block may take; None where nobody said."""
    memory = _memory.get()
    return memory.bound if memory else None


def reader(model: Any, tokenizer: Any = None) -> Hashable:
    """What reads, as part of a key: a model as it is now, its weights and hooks, and a tokenizer.

    What another model at the same place in memory reads is another result, and so is what this one
    reads after a step of training or under a vector.
    """
    hooks = tuple((*m._forward_hooks, *m._forward_pre_hooks) for m in model.modules())
    versions = tuple(0 if p.is_inference() else p._version for p in model.parameters())
    return model, tokenizer, versions, hooks


def recall(key: Hashable, compute: Callable[[], T]) -> T:
    """Return the remembered result for a key, or compute it (and keep it inside a block).

    A tensor is the caller's own to write into: what is remembered stays as it was computed.
    """
    memory = _memory.get()
    if memory is None:
        return compute()
    if key in memory.results:
        memory.saved += memory.seconds[key]
    else:
        started, before = time.perf_counter(), memory.saved
        memory.results[key] = compute()
        # what the parts would have cost without reuse counts into the whole
        memory.seconds[key] = time.perf_counter() - started + memory.saved - before
    result: T = memory.results[key]
    return result.clone() if isinstance(result, Tensor) else result  # type: ignore[return-value]
