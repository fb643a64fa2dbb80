"""What rounding alone does to a model of half precision: the yardstick of two ways to one number.

Two orders of the same sums differ by one rounding at every block, and what becomes of it depends on
the model: hundredths of a nat in one, more than one in another. So it is measured: the plain pass
again, with the stream after every block off by as much as its rounding may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from steering.hooks import Change, changing
from steering.sites import resolve

EXACT = (torch.float32, torch.float64)

FACTOR = 2.0
"""How many times the mean difference of rounding alone two ways may differ in the mean."""


@contextmanager
def rounded_otherwise(model: Any) -> Iterator[None]:
    """Every block's output is off by up to one unit of its last place."""
    layout, generator = resolve(model), torch.Generator().manual_seed(0)

    def change(x: Tensor) -> Tensor:
        noise = 2 * torch.rand(x.shape, generator=generator).to(x.device) - 1
        return (x.float() * (1 + torch.finfo(x.dtype).eps * noise)).to(x.dtype)

    changes: dict[tuple[str, int], Change] = {
        ("block_output", layer): change for layer in range(layout.n_layers)
    }
    with changing(model, changes):
        yield


def same_but_for_rounding(
    model: Any, found: Tensor, plain: Callable[[], Tensor], allowed: float
) -> bool:
    """Whether another way leads to the numbers of plain forward passes.

    Args:
        model: A Hugging Face decoder.
        found: Log-probabilities or logits of any shape, in nats.
        plain: Computes the same by plain passes.
        allowed: Largest difference in single precision, in nats.
    """
    expected = plain()
    off = _difference(found, expected)
    if model.dtype in EXACT:
        return bool((off <= allowed).all())
    with rounded_otherwise(model):
        own = _difference(plain(), expected)
    return bool(off.mean() <= max(allowed, FACTOR * float(own.mean())))


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """Absolute differences; equal infinities do not differ."""
    return (one.float() - other.float()).abs().masked_fill(one == other, 0.0)
