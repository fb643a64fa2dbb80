"""A logistic probe's direction: what separates desired from undesired texts best.

    v = unit( weights of a logistic regression on h_L(text) - middle of its pair )

h_L is the output of block L at the last token; there is no intercept, because every pair is centred
at its middle. v is added at all tokens.

Source: the aggregator `logistic` of the package steering-vectors; probes as directions: Li et al.,
arXiv:2306.03341.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from steering.contrast import ContrastiveMethod, Read, contrastive_space
from steering.conventions import Conventions
from steering.directions import unit
from steering.edit import Edit
from steering.method import Examples, register
from steering.probing import logistic
from steering.reliability import reliability
from steering.space import Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class Probe(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block; None takes the middle one.
        read_token: Which token is read.
        coefficient: Strength.
        positions: Where the vector is added.
    """

    name: ClassVar[str] = "probe"
    summary: ClassVar[str] = "direction of a logistic probe on last tokens"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last", acts_at="block_output: add", acts_on="all",
        scale="unit", sign="the probe's: towards desired",
    )  # fmt: skip

    layer: int | None = None
    read_token: Read = "last"
    coefficient: float = 8.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the layer and the contrast."""
        return {"coefficient": Real(0.03, 300.0, 8.0), **contrastive_space(shape, 0.5)}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Fit the probe; see the module's formula."""
        right, wrong = self.partners(model, tokenizer, examples, self.read_token, "block_output")
        layer = at_depth(self.layer, right.shape[1], 0.5, self.name)
        right, wrong = right[:, layer], wrong[:, layer]
        half = (right - wrong) / 2
        labels = torch.tensor([1] * len(half) + [0] * len(half))
        weights, _ = logistic(torch.cat([half, -half]), labels, intercept=False)
        edit = Edit("block_output", layer, "add", unit(weights), self.positions)
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient, unit="unit norm",
            reliability=reliability([right], [wrong], [weights]),
        )  # fmt: skip
