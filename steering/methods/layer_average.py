"""Layer average: the mean residual stream of few-shot prompts at one layer, added.

    v = mean_i h_L(prompt_i)

h_L is the output of block L at the last token of n-shot prompts. v is added there at the last
prompt token and at every generated one: the baseline of the function-vector paper.

Source: Todd et al., ICLR 2024, arXiv:2310.15213, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from steering.activations import at_end, token_states
from steering.conventions import Conventions
from steering.edit import Edit
from steering.method import Examples, SteeringMethod, register
from steering.prompts import correct_prompts
from steering.space import Integer, Real, SearchSpace, Shape, at_depth
from steering.tokens import prompt_ids
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class LayerAverage(SteeringMethod):
    """Settings.

    Attributes:
        shots: Demonstrations per prompt; None takes the task's own number.
        prompts: Prompts averaged over.
        layer: 0-based block; None takes a third of the depth.
        coefficient: Strength.
        positions: Where the vector is added.
        bos: Put BOS before prompts where the tokenizer does not.
    """

    name: ClassVar[str] = "layer_average"
    summary: ClassVar[str] = "mean residual stream of few-shot prompts (arXiv:2310.15213)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last of few-shot prompts", acts_at="block_output: add",
        acts_on="continuation", scale="none", sign="none",
    )  # fmt: skip

    shots: int | None = None
    prompts: int = 100
    layer: int | None = None
    coefficient: float = 1.0
    positions: str = "continuation"
    bos: bool = False

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The layer and the strength."""
        default = at_depth(None, shape.n_layers, 1 / 3)
        return {
            "layer": Integer(0, shape.n_layers - 1, default),
            "coefficient": Real(0.03, 4.0, 1.0),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Average the last tokens; see the module's formula."""
        texts = correct_prompts(examples, self.prompts, self.shots, self.seed)
        ids = prompt_ids(tokenizer, texts, bos=self.bos)
        states = token_states(model, ids, at_end(ids))[:, 0]
        layer = at_depth(self.layer, states.shape[1], 1 / 3, self.name)
        edit = Edit("block_output", layer, "add", states[:, layer].mean(dim=0), self.positions)
        return self.vector([edit], model, examples, coefficient=self.coefficient)
