"""DiffMean: the difference of the means over all tokens of two sets of texts.

    v = unit( mean over tokens of desired texts - mean over tokens of undesired texts )

Tokens of the output of block L but each text's first one; long texts weigh more, because every
token counts once. coefficient * a * v is added at every token, a being the largest h . v.

Source: Wu et al., AxBench, arXiv:2501.17148. Its code measures a on the evaluation texts and takes
50 where it is not positive; here it comes from the fitted texts unless it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from steering.activations import largest_projection, token_states
from steering.contrast import ContrastiveMethod, contrastive_space, pooled, spans
from steering.conventions import Conventions
from steering.directions import unit
from steering.edit import Edit
from steering.method import Examples, register
from steering.reliability import reliability
from steering.sites import resolve
from steering.space import Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class DiffMean(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block; None takes 10 of 26.
        largest: The largest activation; None takes that of the fitted texts.
        coefficient: Strength, the paper's factor.
        positions: Where the vector is added.
    """

    name: ClassVar[str] = "diffmean"
    summary: ClassVar[str] = "difference of token means (AxBench, arXiv:2501.17148)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="all but the first", acts_at="block_output: add",
        acts_on="all", scale="unit x largest activation", sign="desired minus undesired",
    )  # fmt: skip

    layer: int | None = None
    largest: float | None = None
    coefficient: float = 1.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the layer and the contrast."""
        return {"coefficient": Real(0.05, 5.0, 1.0), **contrastive_space(shape, 10 / 26)}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Subtract the means over tokens; see the module's formula."""
        layer = at_depth(self.layer, resolve(model).n_layers, 10 / 26, self.name)
        means: list[torch.Tensor] = []
        texts: list[torch.Tensor] = []
        ids: list[list[int]] = []
        read: list[tuple[int, int]] = []
        for side in pooled(self.sides(examples)):
            own, tokens = spans(tokenizer, side, "after_first")
            states = token_states(model, own, [[span] for span in tokens])[:, 0, layer]
            counts = torch.tensor([stop - start for start, stop in tokens])
            texts.append(states)
            means.append((states * counts[:, None]).sum(dim=0) / counts.sum())
            ids, read = [*ids, *own], [*read, *tokens]
        direction = unit(means[0] - means[1])
        largest = self.largest
        if largest is None:
            largest = largest_projection(model, ids, read, direction, layer)
        if largest <= 0:
            largest = 50.0
        edit = Edit("block_output", layer, "add", direction * largest, self.positions)
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient, unit="largest activation",
            largest_activation=largest,
            reliability=reliability(texts[:1], texts[1:], [direction]),
        )  # fmt: skip
