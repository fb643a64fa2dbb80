"""In-context vectors: what separates the desired text from the undesired one, layer by layer.

    D_i = h(y_i) - h(x_i),   direction = mean(D) + PC1(D)

h(.) are the hidden states after every block at a text's last token, flattened over layers; PC1 is
the first principal component of the centred D. The direction turns the output of every MLP, at all
positions, and leaves its norm as it is (`operations.norm_preserving_add`).

Source: Liu et al., In-context Vectors, ICML 2024, arXiv:2311.06668.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from steering.activations import last_token_hidden_states
from steering.contrast import contrasted, paired, questions
from steering.conventions import Conventions
from steering.directions import leading_component
from steering.edit import Edit
from steering.errors import UnsupportedModel
from steering.method import Examples, SteeringMethod, register
from steering.reliability import reliability
from steering.sites import resolve
from steering.space import Choice, Real, SearchSpace, Shape
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class InContextVector(SteeringMethod):
    """Settings.

    Attributes:
        pairs: Number of demonstrations drawn; None takes all.
        direction: `mean_plus_pc1` (the reference), `mean` or `pc1`.
        last_k: The hidden states of this many last tokens are averaged.
        contrast: `pairs` sets y against x, each alone; `off_task` sets the answered question
            against the same question with another one's answer (arXiv:2411.07213, for precision).
            Where examples carry wrong answers, these are what stands against the right ones.
        coefficient: Strength, relative to the norm of the MLP's output.
        positions: Where the vector is added.
    """

    name: ClassVar[str] = "icv"
    summary: ClassVar[str] = "in-context vector: mean and PC1 of y minus x (arXiv:2311.06668)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last", acts_at="mlp_output: norm_preserving_add",
        acts_on="all", scale="relative to the MLP output, norm kept",
        sign="desired minus undesired",
    )  # fmt: skip

    pairs: int | None = 50
    direction: Literal["mean_plus_pc1", "mean", "pc1"] = "mean_plus_pc1"
    last_k: int = 1
    contrast: Literal["pairs", "off_task"] = "pairs"
    coefficient: float = 0.1
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the contrast, the direction and the number of last tokens."""
        return {
            "coefficient": Real(0.005, 1.0, 0.1),
            "contrast": Choice(("pairs", "off_task")),
            "direction": Choice(("mean_plus_pc1", "mean")),
            "last_k": Choice((1, 4)),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Take the direction of the differences; see the module's formula."""
        rng = random.Random(f"icv {self.seed}")
        every = questions(examples)
        chosen = rng.sample(every, min(self.pairs or len(every), len(every)))
        sides = paired(contrasted(examples, chosen, self.contrast))
        wanted, unwanted = ([text.whole for text in side] for side in sides)
        states = last_token_hidden_states(
            model, tokenizer, [*wanted, *unwanted], last_k=self.last_k
        )
        desired, undesired = states[: len(wanted)], states[len(wanted) :]
        differences = desired - undesired  # (n, l + 1, d)
        direction = self._direction(differences.flatten(1)).view(differences.shape[1:])
        layers = resolve(model).layers("mlp_output")
        if not layers:
            raise UnsupportedModel("icv: no layer has an MLP of one module; use another method")
        edits = [
            Edit(
                "mlp_output", layer, "norm_preserving_add", direction[layer + 1].clone(),
                self.positions,
            )
            for layer in layers
        ]  # fmt: skip
        places = [edit.layer + 1 for edit in edits]
        return self.vector(
            edits, model, examples, coefficient=self.coefficient,
            unit="relative to the norm of the MLP output",
            reliability=reliability(
                desired[:, places].unbind(1), undesired[:, places].unbind(1),
                [edit.tensor for edit in edits],
            ),
        )  # fmt: skip

    def _direction(self, differences: Tensor) -> Tensor:
        """(n, (l + 1) * d) -> ((l + 1) * d)."""
        mean = differences.mean(dim=0)
        if self.direction == "mean":
            return mean
        component = leading_component(differences - mean)
        return component if self.direction == "pc1" else mean + component
