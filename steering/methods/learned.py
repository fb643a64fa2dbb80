"""A learned vector: one tensor trained on the likelihood of the answers, the model frozen.

    v = argmin mean_i -log p(answer_i | question_i; h_L + v)

h_L is the output of block L; v is added at the last prompt token and at those of the answer. Adam
from zero, its rate a share of the residual stream's root mean square. What training can reach with
one vector at one place is the strong baseline of every vector that is computed.

Source: Subramani et al., arXiv:2205.05124 (steering vectors by gradient).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from steering.activations import at_end, token_states
from steering.conventions import Conventions
from steering.edit import Edit
from steering.likelihood import answer_loss
from steering.method import Examples, SteeringMethod, register
from steering.sites import resolve
from steering.space import Integer, Real, SearchSpace, Shape, at_depth
from steering.tokens import answer_ids
from steering.tracing import input_device
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class Learned(SteeringMethod):
    """Settings.

    Attributes:
        layer: 0-based block; None takes a third of the depth.
        steps: Of the optimiser.
        batch: Examples of a step.
        rate: Of Adam, relative to the residual stream's root mean square.
        coefficient: Strength.
        positions: Where the vector is added, in training as well.
    """

    name: ClassVar[str] = "learned"
    summary: ClassVar[str] = "one vector trained on the answers' likelihood (arXiv:2205.05124)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="logits", read_tokens="answers", acts_at="block_output: add",
        acts_on="continuation", scale="none", sign="the gradient's: towards the answers",
    )  # fmt: skip

    layer: int | None = None
    steps: int = 100
    batch: int = 8
    rate: float = 0.03
    coefficient: float = 1.0
    positions: str = "continuation"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The layer, the rate and the strength."""
        default = at_depth(None, shape.n_layers, 1 / 3)
        return {
            "layer": Integer(0, shape.n_layers - 1, default),
            "rate": Real(0.003, 0.3, 0.03),
            "coefficient": Real(0.3, 3.0, 1.0),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Train the vector; see the module's formula."""
        layout, rng = resolve(model), random.Random(f"learned {self.seed}")
        layer = at_depth(self.layer, layout.n_layers, 1 / 3, self.name)
        questions = [examples.prompt((), x) for x, _ in examples.pairs]
        answers = [examples.target(y) for _, y in examples.pairs]
        pairs = list(zip(*answer_ids(tokenizer, questions, answers), strict=True))
        asked = [question for question, _ in pairs[:64]]
        size = token_states(model, asked, at_end(asked))[:, 0, layer].square().mean().sqrt()
        v = torch.zeros(layout.hidden_size, device=input_device(model), requires_grad=True)
        optimiser = torch.optim.Adam([v], lr=self.rate * float(size))
        for _ in range(self.steps):
            drawn = rng.sample(pairs, min(self.batch, len(pairs)))
            with torch.enable_grad():
                edit = Edit("block_output", layer, "add", v, self.positions)
                loss = answer_loss(model, drawn, SteeringVector((edit,)))
                (v.grad,) = torch.autograd.grad(loss, v)
            optimiser.step()
        edit = Edit("block_output", layer, "add", v.detach().cpu(), self.positions)
        return self.vector(
            [edit],
            model,
            examples,
            coefficient=self.coefficient,
            loss=round(float(loss.detach()), 6),
        )
