"""Dose: what a vector does to text that it has nothing to do with, in units all methods share.

A coefficient of 1 means something else for every method; equal doses do not. Measured on neutral
sentences whose first half counts as the prompt, at the positions that predict the second half:

    kl      mean KL(unsteered || steered) of the next token, in nats
    shift   mean |h' - h| / |h| of the residual stream h after the last edited block
    moved   mean |h' - h| there
    norm    mean |h| there, unsteered
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from steering.activations import rows
from steering.hooks import changing
from steering.tokens import context_of, prompt_ids

if TYPE_CHECKING:
    from torch import Tensor

    from steering import SteeringVector

NEUTRAL = (
    "The train to the coast leaves twice a day and takes about three hours.",
    "Water is kept in a round tank behind the house and used in the garden.",
    "The museum keeps its maps in a dry room on the second floor.",
    "Most of the road was paved again after the long winter.",
    "A narrow path leads from the village to an old stone bridge.",
    "The meeting begins at nine and is held in the large hall.",
    "Two boats carry people and goods from one side of the lake to the other.",
    "The book has twelve chapters and a list of names at the end.",
    "Bread is sold in the small shop beside the station.",
    "The tower was built of wood first and of brick later.",
    "Every spring the river rises and covers the lower fields.",
    "The letter was sent on Monday and came three days later.",
    "Their office is on the left, behind the second door.",
    "Wool from these hills is washed, dried and sent to the city.",
    "The table in the kitchen has room for six people.",
    "In the north of the country the days are short in winter.",
)
"""Plain sentences with neither a task's words nor a wanted style."""

CLOSE = 0.01
"""How far a solved dose may be from the one asked for, relative to it."""

STRONGEST = 2.0**12


class DoseNotReached(ValueError):
    """No coefficient gives the dose."""


@dataclass(frozen=True)
class Dose:
    """What a vector does to neutral text.

    Attributes:
        kl: Nats per token.
        shift: Relative to the norm of the residual stream.
        moved: Norm of what is added to the residual stream, as it is.
        norm: Norm of the residual stream without it.
        perplexity_ratio: Perplexity of the text over that of the unsteered model.
    """

    kl: float
    shift: float
    moved: float
    norm: float
    perplexity_ratio: float


class Gauge:
    """Measures doses on one model.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        texts = [ids[: context_of(model)] for ids in prompt_ids(tokenizer, NEUTRAL)]
        self.inputs, self.totals = rows(texts, model)
        self.prompts = (self.totals + 1) // 2
        index = torch.arange(int(self.totals.max()), device=model.device)
        asked = (index >= self.prompts[:, None] - 1) & (index < self.totals[:, None])
        self.asked = asked.nonzero(as_tuple=True)
        self._plain: dict[int, tuple[Tensor, Tensor]] = {}

    def measure(self, vector: SteeringVector) -> Dose:
        """The dose of a vector at its own coefficient."""
        layer = max(vector.layers)
        if layer not in self._plain:
            self._plain[layer] = self._read(layer)
        before, states = self._plain[layer]
        lengths = self.prompts, self.totals
        with vector.attached(self.model) as attachment, attachment.lengths(*lengths):
            after, moved = self._read(layer)
        kl = F.kl_div(after, before, log_target=True, reduction="none").sum(-1).mean()
        added, norm = (moved - states).norm(dim=-1), states.norm(dim=-1)
        shift = (added / norm).mean()
        ratio = (self._next(before) - self._next(after)).mean().exp()
        return Dose(float(kl), float(shift), float(added.mean()), float(norm.mean()), float(ratio))

    def _next(self, log_probs: Tensor) -> Tensor:
        """Log-probabilities of the text's own tokens, but for what follows its last one."""
        rows, tokens = self.asked
        inside = tokens + 1 < self.totals[rows]
        own = self.inputs["input_ids"][rows[inside], tokens[inside] + 1]
        return log_probs[inside].gather(1, own[:, None])[:, 0]

    @torch.no_grad()
    def _read(self, layer: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities (n, v) and the residual stream after a block (n, d)."""
        kept = []

        def keep(x: Tensor) -> None:
            rows, tokens = (index.to(x.device) for index in self.asked)
            kept.append(x[rows, tokens].float())

        with changing(self.model, {("block_output", layer): keep}):
            logits = self.model(**self.inputs, use_cache=False).logits
        return logits[self.asked].float().log_softmax(dim=-1), kept[0]

    def coefficient(self, vector: SteeringVector, kl: float) -> float:
        """The strength at which a vector has a dose; its sign is kept.

        Args:
            vector: A steering vector.
            kl: Nats per token.

        Raises:
            DoseNotReached: the dose stays below it at any strength.
        """
        sign = -1.0 if vector.coefficient < 0 else 1.0
        low, high = 0.0, 1.0
        while (found := self.measure(vector.with_coefficient(sign * high)).kl) < kl:
            low, high = high, 2 * high
            if high > STRONGEST:
                raise DoseNotReached(
                    f"a dose of {kl:g} nats cannot be reached: at coefficient {low:g} it is "
                    f"{found:.3g}; ask for less"
                )
        middle = high
        while abs(found - kl) > CLOSE * kl and high - low > 1e-6 * high:
            middle = (low + high) / 2
            found = self.measure(vector.with_coefficient(sign * middle)).kl
            low, high = (middle, high) if found < kl else (low, middle)
        return sign * middle
