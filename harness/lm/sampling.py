"""Sampled answers that depend on seed and document alone: not on order, batch or resumption.

A categorical draw is a race: of exponential waiting times, each divided by its probability, the
shortest wins (what `torch.multinomial` does inside), and the n shortest are n draws without
replacement. The waiting times come from one stream per prompt, on the CPU, so that they are the
same on every device. Answers agree wherever the model's probabilities agree to rounding.

Arms share the streams of their documents: where an arm changes no probability it changes no
answer, which takes the noise of sampling out of paired differences.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class Draws(TorchFunctionMode):
    """Inside the block `torch.multinomial` draws from the prompts' own streams."""

    def __init__(self, seed: int, keys: Sequence[str]) -> None:
        """Open the streams.

        Args:
            seed: Of all of them.
            keys: What names each prompt (b).
        """
        super().__init__()
        self.seed, self.keys = seed, list(keys)
        self._streams: list[torch.Generator] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Draw; or do what was asked."""
        if func is torch.multinomial:
            return self.draw(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def draw(self, probabilities: Tensor, num_samples: int) -> Tensor:
        """Indices (r, n) of n draws without replacement from each of r rows.

        Args:
            probabilities: (r, v), r a multiple of b: the rows of one prompt follow each other.
            num_samples: n.
        """
        rows, width = probabilities.shape
        if not self._streams:
            copies = rows // len(self.keys)
            self._streams = [self._stream(key, i) for key in self.keys for i in range(copies)]
        waits = torch.stack(
            [torch.empty(width).exponential_(generator=stream) for stream in self._streams]
        )
        race = probabilities.float() / waits.to(probabilities.device)
        return race.topk(num_samples, dim=-1).indices

    def _stream(self, key: str, copy: int) -> torch.Generator:
        name = hashlib.sha256(f"{self.seed} {copy} {key}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(name[:8], "big", signed=True))
