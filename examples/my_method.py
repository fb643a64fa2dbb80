"""A steering method in one file: the mean shift that demonstrations cause at one layer.

    v = mean_i [ h_L(few-shot prompt of x_i) - h_L(bare prompt of x_i) ]

h_L is the output of block L at the last token. The vector is added there, at the last prompt token
and at every generated one.
"""

import random
from dataclasses import dataclass

from steering import Choice, Edit, SteeringMethod, last_token_hidden_states, register


@register
@dataclass(frozen=True, kw_only=True)
class PromptShift(SteeringMethod):
    """Settings: the edited block (None: the middle one), the strength, the prompts."""

    name = "prompt_shift"
    summary = "mean shift of the last token that demonstrations cause"

    layer: int | None = None
    coefficient: float = 1.0
    prompts: int = 50

    @classmethod
    def search_space(cls, shape):
        """Every layer, the middle first, and four strengths; the first of each is the default."""
        middle = shape.n_layers // 2
        layers = sorted(range(shape.n_layers), key=lambda layer: abs(layer - middle))
        return {"layer": Choice(tuple(layers)), "coefficient": Choice((1.0, 0.5, 2.0, 4.0))}

    def fit(self, model, tokenizer, examples):
        """Capture both kinds of prompts and take the mean difference."""
        rng = random.Random(self.seed)
        drawn = [rng.sample(list(examples.pairs), examples.shots + 1) for _ in range(self.prompts)]
        few = [examples.prompt(shown, query) for *shown, (query, _) in drawn]
        bare = [examples.prompt((), query) for *_, (query, _) in drawn]
        states = last_token_hidden_states(model, tokenizer, [*few, *bare])  # (n, l + 1, d)
        shift = (states[: len(few)] - states[len(few) :]).mean(dim=0)[1:]  # (l, d)
        layer = len(shift) // 2 if self.layer is None else self.layer
        edit = Edit("block_output", layer, "add", shift[layer].clone(), "continuation")
        return self.vector([edit], model, examples, coefficient=self.coefficient)
