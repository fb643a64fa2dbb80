"""Contrastive activation addition: the mean difference at the letter of the answer.

    v = mean_i [ h_L(question_i, right letter) - h_L(question_i, wrong letter) ]

h_L is the output of block L at the letter before the closing bracket (at the last token where
answers are no letters). v is added there from the last token of the prompt on, as it is.

Source: Rimsky et al., ACL 2024, arXiv:2312.06681. Its newest code steers the last token of the
instruction too (`continuation`), earlier code only what follows it (`generated`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from steering.contrast import ContrastiveMethod, Read, contrastive_space
from steering.conventions import Conventions
from steering.directions import unit
from steering.edit import Edit
from steering.method import Examples, register
from steering.reliability import reliability
from steering.space import Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class CAA(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block; None takes 13 of 32.
        read_token: Which token is read.
        norm: The vector is scaled to it (the paper's common norm of several behaviours).
        coefficient: Strength.
        positions: Where the vector is added.
    """

    name: ClassVar[str] = "caa"
    summary: ClassVar[str] = "contrastive activation addition: mean difference (arXiv:2312.06681)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="letter of the answer", acts_at="block_output: add",
        acts_on="continuation", scale="none", sign="desired minus undesired",
    )  # fmt: skip

    layer: int | None = None
    read_token: Read = "letter"
    norm: float | None = None
    coefficient: float = 1.0
    positions: str = "continuation"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the layer and the contrast."""
        return {"coefficient": Real(0.1, 30.0, 1.0), **contrastive_space(shape, 13 / 32)}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Average the differences; see the module's formula."""
        right, wrong = self.partners(model, tokenizer, examples, self.read_token, "block_output")
        layer = at_depth(self.layer, right.shape[1], 13 / 32, self.name)
        right, wrong = right[:, layer], wrong[:, layer]
        tensor = (right - wrong).mean(dim=0)
        contrasts = reliability([right], [wrong], [tensor])
        if self.norm is not None:
            tensor = unit(tensor) * self.norm
        edit = Edit("block_output", layer, "add", tensor, self.positions)
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient, reliability=contrasts
        )
