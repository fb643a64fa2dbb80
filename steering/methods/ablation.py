"""Directional ablation: one direction taken out of all that is written to the residual stream.

    r = mean x_L(desired)[token] - mean x_L(undesired)[token],    h - (h . r^) r^

x_L is the input of block L. The direction is projected out of every block's input and of every
attention's and MLP's output, at all tokens; `mode="add"` adds r to the input of block L instead.

Source: Arditi et al., arXiv:2406.11717 (there harmful minus harmless instructions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from steering.activations import token_states
from steering.contrast import ContrastiveMethod, Text, contrastive_space, pooled, spans
from steering.conventions import Conventions
from steering.edit import Edit
from steering.method import Examples, register
from steering.sites import resolve
from steering.space import Choice, Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector

PLACES = ("block_input", "attn_output", "mlp_output")


@register
@dataclass(frozen=True, kw_only=True)
class Ablation(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block whose input is read; None takes the middle one.
        token: Which token is read, counted from the end: -1 is the last.
        mode: `ablate` everywhere, or `add` at the layer.
        coefficient: Strength.
        positions: Where the edits act.
    """

    name: ClassVar[str] = "ablation"
    summary: ClassVar[str] = "directional ablation: a direction projected out (arXiv:2406.11717)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_input", read_tokens="one of the last",
        acts_at="block_input, attn_output, mlp_output: project_out", acts_on="all",
        scale="unit (add: none)", sign="none (add: desired minus undesired)",
    )  # fmt: skip

    layer: int | None = None
    token: int = -1
    mode: Literal["ablate", "add"] = "ablate"
    coefficient: float = 1.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The mode, the strength, the layer and the contrast."""
        return {
            "coefficient": Real(0.1, 10.0, 1.0),
            "mode": Choice(("ablate", "add")),
            **contrastive_space(shape, 0.5),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Take the mean difference; see the module's formula."""
        desired, undesired = (
            self._means(model, tokenizer, side) for side in pooled(self.sides(examples))
        )
        layer = at_depth(self.layer, len(desired), 0.5, self.name)
        tensor = (desired - undesired)[layer].float()
        if self.mode == "add":
            edits = [Edit("block_input", layer, "add", tensor, self.positions)]
        else:
            edits = [
                Edit(site, at, "project_out", tensor, self.positions)
                for site in PLACES
                for at in resolve(model).layers(site)
            ]
        return self.vector(edits, model, examples, coefficient=self.coefficient)

    def _means(self, model: Any, tokenizer: Any, texts: list[Text]) -> Tensor:
        """Mean inputs of every block at the token, (l, d), in float64."""
        ids, _ = spans(tokenizer, texts, "last")
        chosen = [len(own) + self.token for own in ids]
        read = [[(token, token + 1)] for token in chosen]
        return token_states(model, ids, read, site="block_input")[:, 0].double().mean(dim=0)
