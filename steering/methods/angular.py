"""Angular steering: turn the component in one plane to an angle, norm unchanged.

    b1 = unit mean difference of the layer whose difference is most like the others'
    b2 = PC1 of all layers' differences, at a right angle to b1

Differences are desired minus undesired last tokens of the blocks' outputs. At the output of every
norm of every block, at all tokens, the component in the plane (b1, b2) is turned to `angle`
(`operations.turn_in_plane`); 0 degrees is b1.

Source: arXiv:2510.26243 and its code. The plane comes from the residual stream and is used on
normalised activations, as published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from steering.contrast import ContrastiveMethod, contrastive_space
from steering.conventions import Conventions
from steering.directions import by_mean, first_component, unit
from steering.edit import Edit
from steering.inner import norm_places
from steering.method import Examples, register
from steering.reliability import reliability
from steering.sites import resolve
from steering.space import Choice, Real, SearchSpace, Shape
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class Angular(ContrastiveMethod):
    """Settings.

    Attributes:
        angle: Degrees; 0 is the desired direction, 180 its opposite.
        adaptive: Turn only activations that lie on the side of b1.
        coefficient: Strength: the part of the way to the angle.
        positions: Where activations are turned.
    """

    name: ClassVar[str] = "angular"
    summary: ClassVar[str] = "angular steering: a plane's component turned (arXiv:2510.26243)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last", acts_at="norm outputs: turn_in_plane",
        acts_on="all", scale="angle, norm kept", sign="desired minus undesired",
    )  # fmt: skip

    angle: float = 0.0
    adaptive: bool = False
    coefficient: float = 1.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The angle, the part of the way and the contrast."""
        return {
            "angle": Real(0.0, 350.0, 0.0, log=False),
            "coefficient": Real(0.05, 1.0, 1.0),
            "contrast": contrastive_space(shape, 0.5)["contrast"],
            "adaptive": Choice((False, True)),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Span the plane; see the module's formula."""
        right, wrong = self.partners(model, tokenizer, examples, "last", "block_output")
        found = (right - wrong).mean(dim=0)
        likeness = unit(found) @ unit(found).T  # (l, l)
        read = int(likeness.mean(dim=1).argmax())
        first = unit(found)[read]
        second = by_mean(first_component(found, centred=True), found)
        plane = torch.stack([first, unit(second - (second @ first) * first)])
        parameters = {"angle": self.angle, "adaptive": float(self.adaptive)}
        edits = [
            Edit(site, layer, "turn_in_plane", plane, self.positions, parameters=parameters)
            for site, layer in norm_places(resolve(model).blocks)
        ]
        return self.vector(
            edits, model, examples, coefficient=self.coefficient, unit="part of the way",
            reliability=reliability([right[:, read]], [wrong[:, read]], [first]),
        )  # fmt: skip
