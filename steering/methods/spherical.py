"""Spherical steering: turn the residual stream towards an answer's kind, norm unchanged.

    mu = unit( mean h_L(right answers) - mean h_L(wrong answers) )

h_L is the output of block L at the last token of an answered question. From the last prompt token
on, activations on the wrong side of -mu and mu are turned towards mu (`operations.rotate`).

Source: arXiv:2602.08169 and its code, whose two prototypes are mu and -mu.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from steering.contrast import ContrastiveMethod, contrastive_space, pooled
from steering.conventions import Conventions
from steering.directions import unit
from steering.edit import Edit
from steering.method import Examples, register
from steering.space import Choice, Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class Spherical(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block; None takes 14 of 32.
        kappa: How sharply the side is told.
        beta: How far on the wrong side an activation must lie to be turned, -1 to 1.
        coefficient: Strength: the share of the angle at the far end, the paper's alpha.
        positions: Where activations are turned.
    """

    name: ClassVar[str] = "spherical"
    summary: ClassVar[str] = "spherical steering: a gated rotation (arXiv:2602.08169)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last", acts_at="block_output: rotate",
        acts_on="continuation", scale="share of the angle, norm kept",
        sign="desired minus undesired",
    )  # fmt: skip

    contrast: Literal["pairs", "off_task"] = "off_task"
    layer: int | None = None
    kappa: float = 20.0
    beta: float = -0.15
    coefficient: float = 0.7
    positions: str = "continuation"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the gate, the layer and the contrast."""
        return {
            "coefficient": Real(0.05, 2.0, 0.7),
            "beta": Choice((-0.15, 0.1, 0.4)),
            **contrastive_space(shape, 14 / 32, "off_task"),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Take the prototype; see the module's formula."""
        desired, undesired = (
            self.read(model, tokenizer, side, "last", "block_output").mean(dim=0)
            for side in pooled(self.sides(examples))
        )
        layer = at_depth(self.layer, len(desired), 14 / 32, self.name)
        edit = Edit(
            "block_output", layer, "rotate", unit(desired - undesired)[layer], self.positions,
            parameters={"kappa": self.kappa, "beta": self.beta},
        )  # fmt: skip
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient, unit="share of the angle"
        )
