"""State vectors: what the attention hands on at the separators of a few-shot prompt.

    s_r = input of the output projection at the r-th separator;   v = mean of the last seven
    momentum: v + sum w_r (s_r - s_(r-1)) / sum w,   w = 1, 2, 4, 8, 16 over the last five steps

A separator is the token before an answer; the query's is the last of them. In blocks 0 ... L the
attention output at the last prompt token is replaced by W_o v, the projection's bias dropped.
Several groups of demonstrations are averaged, or written at the separators of one more prompt and
read at its query (`divide_and_conquer`).

Source: Li et al., arXiv:2404.11225, and its code.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from steering.activations import token_states
from steering.conventions import Conventions
from steering.edit import Edit
from steering.layout import written
from steering.method import Examples, SteeringMethod, register
from steering.separators import query_state, separated_prompt
from steering.sites import resolve
from steering.space import Choice, Integer, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class StateVector(SteeringMethod):
    """Settings.

    Attributes:
        shots: Demonstrations of a group.
        groups: Groups of demonstrations.
        optimisation: `inner` average, `momentum`, or `none`: the query's state alone.
        aggregation: `mean` over groups, or `divide_and_conquer`.
        rate: Of the momentum.
        last_layer: Last written block, 0-based; None takes 13 of 32.
        coefficient: Between 0 and 1 goes part of the way.
        positions: Where the attention output is replaced.
    """

    name: ClassVar[str] = "state_vector"
    summary: ClassVar[str] = "state vector: attention states of separators (arXiv:2404.11225)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="head_output", read_tokens="separators of few-shot prompts",
        acts_at="attn_output: replace", acts_on="last_prompt", scale="none", sign="none",
    )  # fmt: skip

    shots: int = 10
    groups: int = 1
    optimisation: Literal["inner", "momentum", "none"] = "inner"
    aggregation: Literal["mean", "divide_and_conquer"] = "mean"
    rate: float = 1.0
    last_layer: int | None = None
    coefficient: float = 1.0
    positions: str = "last_prompt"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The last written block, the optimisation and the number of groups."""
        default = at_depth(None, shape.n_layers, 13 / 32)
        return {
            "last_layer": Integer(0, shape.n_layers - 1, default),
            "optimisation": Choice(("inner", "momentum", "none")),
            "groups": Choice((1, 4)),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Read the separators' states; see the module's formula."""
        layout, rng = resolve(model), random.Random(f"state vector {self.seed}")
        last, found = at_depth(self.last_layer, layout.n_layers, 13 / 32, self.name), []
        for _ in range(self.groups):
            ids, places = separated_prompt(tokenizer, examples, self.shots, rng)
            read = [(place, place + 1) for place in places]
            found.append(self._state(token_states(model, [ids], [read], site="head_output")[0]))
        if self.aggregation == "divide_and_conquer":
            ids, places = separated_prompt(tokenizer, examples, self.groups, rng)
            state = query_state(model, ids, places, torch.stack(found), last)
        else:
            state = torch.stack(found).mean(dim=0)
        edits = []
        for row, layer in enumerate(layout.layers("head_output")):
            if layer <= last:
                own = state[row, : layout.width("head_output", layer)]
                tensor = written(layout.module("attn_output", layer), own[None])[0].cpu()
                edits.append(Edit("attn_output", layer, "replace", tensor, self.positions))
        return self.vector(edits, model, examples, coefficient=self.coefficient)

    def _state(self, states: Tensor) -> Tensor:
        """States of all separators (shots + 1, l, h * d_h) -> (l, h * d_h)."""
        if self.optimisation == "none":
            return states[-1]
        inner = states[-7:].mean(dim=0)
        if self.optimisation == "inner":
            return inner
        steps = states[1:-1].diff(dim=0, prepend=states[:1])[-5:]
        weights = 2.0 ** torch.arange(len(steps))
        return inner + self.rate * torch.einsum("r,rld->ld", weights / weights.sum(), steps)
