"""Persona vectors: the difference of two kinds of responses, each averaged over its tokens.

    v_L = mean_i of response means (desired) - mean_i of response means (undesired)

A response mean is taken over the answer's tokens at the output of block L. v_L is added there, as
it is, to the last prompt token and everything that is generated.

Source: Chen et al., arXiv:2507.21509. Its code counts the embedding as hidden state 0, so that its
layer L is block L - 1 here, and lets a judge keep the responses that show the trait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from steering.contrast import ContrastiveMethod, contrastive_space, pooled
from steering.conventions import Conventions
from steering.edit import Edit
from steering.method import Examples, register
from steering.reliability import reliability
from steering.space import Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class Persona(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block; None takes 19 of 28.
        coefficient: Strength.
        positions: Where the vector is added.
    """

    name: ClassVar[str] = "persona"
    summary: ClassVar[str] = "persona vector: mean difference of responses (arXiv:2507.21509)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="mean over the answer", acts_at="block_output: add",
        acts_on="continuation", scale="none", sign="desired minus undesired",
    )  # fmt: skip

    layer: int | None = None
    coefficient: float = 1.5
    positions: str = "continuation"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the layer and the contrast."""
        return {"coefficient": Real(0.1, 30.0, 1.5), **contrastive_space(shape, 19 / 28)}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Subtract the mean responses; see the module's formula."""
        desired, undesired = (
            self.read(model, tokenizer, side, "answer", "block_output")
            for side in pooled(self.sides(examples))
        )
        layer = at_depth(self.layer, desired.shape[1], 19 / 28, self.name)
        desired, undesired = desired[:, layer], undesired[:, layer]
        tensor = desired.mean(dim=0) - undesired.mean(dim=0)
        edit = Edit("block_output", layer, "add", tensor, self.positions)
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient,
            reliability=reliability([desired], [undesired], [tensor]),
        )  # fmt: skip
