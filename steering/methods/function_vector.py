"""Function vectors: the task as the sum of what a few attention heads write.

    FV = sum over the chosen heads (l, h) of W_o[l, h] m[l, h]

m[l, h] is the head's mean activation at the last token of n-shot prompts. The chosen heads are
those that, put into prompts with shuffled labels, most raise the probability of the right answer.
The vector is added to the output of one block at the last prompt token and at every generated one.

Source: Todd et al., Function Vectors in Large Language Models, ICLR 2024, arXiv:2310.15213.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from steering.activations import BATCH, mean_head_activations, residual_norms
from steering.conventions import Conventions
from steering.edit import Edit
from steering.effects import Target, indirect_effects
from steering.heads import Heads, published, strongest
from steering.method import Examples, SteeringMethod, register
from steering.post_norm import mean_gains
from steering.prompts import correct_prompts, shuffled_prompts
from steering.sites import resolve
from steering.space import Choice, Integer, Real, SearchSpace, Shape
from steering.vector import SteeringVector

Unit = Literal["raw", "residual"]

UNITS: Mapping[Unit, str] = {"raw": "raw", "residual": "relative to the residual norm"}


@register
@dataclass(frozen=True, kw_only=True)
class FunctionVector(SteeringMethod):
    """Settings.

    Attributes:
        shots: Demonstrations per prompt; None takes the task's own number.
        mean_prompts: Prompts for the mean activations.
        effect_prompts: Prompts for the effects.
        top_heads: Heads chosen; None takes ceil(L * H / 51.2), about 2 %.
        heads: Chosen beforehand: `published`, or (layer, head) pairs.
        layer: 0-based block whose output is edited; None takes ceil(L / 3).
        coefficient: Strength, in the unit.
        unit: `raw` adds the sum of heads itself (the paper); `residual` gives it the norm of the
            residual stream at the edited layer, at the end of the fitting prompts. Raw strengths
            mean nothing across models: the best ones are 2 to 4 on one, beyond 64 on another.
        projection_bias: Add the projection's bias once per head, as the reference does.
        post_norm: On models that normalise after the projection (Gemma-2, Gemma-3, OLMo-2), pass
            what heads write through their layer's norm at its mean scale: what then is added is
            what reaches the residual stream. It turns the vector, and need not serve better: on
            gemma-3-270m (singular-plural, 20 validation documents, three layers) the best raw
            strength is 16 with .05, and 64 with .50 without it.
        target: `first_token` (the paper) or `sequence`.
        positions: Where the vector is added.
        bos: Put BOS before prompts where the tokenizer does not, as the reference does.
    """

    name: ClassVar[str] = "fv"
    summary: ClassVar[str] = "function vector: outputs of the causal heads (arXiv:2310.15213)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="head_output", read_tokens="last of few-shot prompts", acts_at="block_output: add",
        acts_on="continuation", scale="none", sign="none",
    )  # fmt: skip

    shots: int | None = None
    mean_prompts: int = 100
    effect_prompts: int = 25
    top_heads: int | None = 10
    heads: Literal["published"] | Heads | None = None
    layer: int | None = None
    coefficient: float = 1.0
    unit: Unit = "raw"
    projection_bias: bool = False
    post_norm: bool = False
    target: Target = "first_token"
    positions: str = "continuation"
    bos: bool = False

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The layer, the strength relative to the residual stream, and the number of heads."""
        n_layers, every = shape.n_layers, shape.n_layers * shape.n_heads
        return {
            "layer": Integer(0, int(0.75 * (n_layers - 1)), default_layer(n_layers)),
            "coefficient": Real(0.05, 5.0, 1.0),
            "unit": Choice(("residual",), "raw"),
            "top_heads": Integer(2, max(2, int(0.3 * every)), 10, log=True),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Sum what the chosen heads write on average; see the module's formula."""
        layout, prompts = resolve(model), self.informative(examples)
        means = mean_head_activations(model, tokenizer, prompts, bos=self.bos)
        heads, facts = self._chosen(model, tokenizer, examples, means)
        found = [layout.project(la, h, means[la, h], bias=self.projection_bias) for la, h in heads]
        if self.post_norm:
            gains = mean_gains(model, tokenizer, prompts[:BATCH], bos=self.bos)
            found = [gains[la](written) for (la, _), written in zip(heads, found, strict=True)]
        tensor = torch.stack([written.cpu() for written in found]).sum(dim=0)
        layer = default_layer(layout.n_layers) if self.layer is None else self.layer
        if self.unit == "residual":
            norms = residual_norms(model, tokenizer, prompts[:BATCH], bos=self.bos)
            facts["raw_at_1"] = float(norms[min(layer, layout.n_layers - 1)] / tensor.norm())
            tensor = tensor * facts["raw_at_1"]
        edit = Edit("block_output", layer, "add", tensor, self.positions)
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient, unit=UNITS[self.unit],
            heads=[list(head) for head in heads], **facts,
        )  # fmt: skip

    def informative(self, examples: Examples) -> list[str]:
        """Prompts from which the task can be told: the means are taken at their ends."""
        return correct_prompts(examples, self.mean_prompts, self.shots, self.seed)

    def uninformative(self, examples: Examples) -> tuple[list[str], list[str]]:
        """Prompts from which it cannot, and their answers: heads are patched into them."""
        return shuffled_prompts(examples, self.effect_prompts, self.shots, self.seed)

    def _chosen(
        self, model: Any, tokenizer: Any, examples: Examples, means: torch.Tensor
    ) -> tuple[Sequence[tuple[int, int]], dict[str, Any]]:
        """The heads that are summed, and what is known of their effects."""
        layout = resolve(model)
        if self.heads is not None:
            return published(layout) if self.heads == "published" else self.heads, {}
        effects = indirect_effects(
            model, tokenizer, *self.uninformative(examples), means, target=self.target, bos=self.bos
        )
        mean = [[round(x, 6) for x in row] for row in effects.values.mean(dim=0).tolist()]
        facts = {"effects": mean, "effects_path": effects.path}
        return strongest(layout, effects, self.top_heads), facts


def default_layer(n_layers: int) -> int:
    """About a third of the depth: ceil(L / 3)."""
    return min(math.ceil(n_layers / 3), n_layers - 1)
