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
from steering.effects import Effects, Target, indirect_effects
from steering.errors import BadSetting
from steering.layout import Layout
from steering.method import Examples, SteeringMethod, register
from steering.post_norm import mean_gains
from steering.prompts import correct_prompts, shuffled_prompts
from steering.sites import resolve
from steering.space import Choice, Integer, Real, SearchSpace, Shape
from steering.vector import SteeringVector

Heads = tuple[tuple[int, int], ...]
Unit = Literal["raw", "residual"]

UNITS: Mapping[Unit, str] = {"raw": "raw", "residual": "relative to the residual norm"}

PUBLISHED: Mapping[tuple[int, int, int], Heads] = {
    (28, 16, 4096): (
        (15, 5), (9, 14), (12, 10), (8, 1), (11, 0), (13, 13), (8, 0), (14, 9), (9, 2), (24, 6),
    ),
    (32, 32, 4096): (
        (14, 1), (11, 2), (9, 25), (12, 15), (12, 28), (13, 7), (11, 18), (12, 18), (16, 10),
        (14, 16),
    ),
}  # fmt: skip
"""Head sets of the paper by (layers, heads, hidden size): GPT-J and Llama-2-7B."""


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
        layout = resolve(model)
        prompts = self.informative(examples)
        means = mean_head_activations(model, tokenizer, prompts, bos=self.bos)
        heads, effects = self._choose(model, tokenizer, examples, means, layout)
        tensor = self._written(model, tokenizer, prompts, means, heads).sum(dim=0)
        layer = default_layer(layout.n_layers) if self.layer is None else self.layer
        facts: dict[str, Any] = {"heads": [list(head) for head in heads]}
        if self.unit == "residual":
            norms = residual_norms(model, tokenizer, prompts[:BATCH], bos=self.bos)
            scale = float(norms[min(layer, layout.n_layers - 1)] / tensor.norm())
            tensor, facts["raw_at_1"] = tensor * scale, scale
        edit = Edit("block_output", layer, "add", tensor.cpu(), self.positions)
        if effects is not None:
            mean = effects.values.mean(dim=0)
            facts["effects"] = [[round(value, 6) for value in row] for row in mean.tolist()]
            facts["effects_path"] = effects.path
        unit = UNITS[self.unit]
        return self.vector(
            [edit], model, examples, coefficient=self.coefficient, unit=unit, **facts
        )

    def informative(self, examples: Examples) -> list[str]:
        """Prompts from which the task can be told: the means are taken at their ends."""
        return correct_prompts(examples, self.mean_prompts, self.shots, self.seed)

    def uninformative(self, examples: Examples) -> tuple[list[str], list[str]]:
        """Prompts from which it cannot, and their answers: heads are patched into them."""
        return shuffled_prompts(examples, self.effect_prompts, self.shots, self.seed)

    def _written(
        self, model: Any, tokenizer: Any, prompts: Sequence[str], means: torch.Tensor,
        heads: Sequence[tuple[int, int]],
    ) -> torch.Tensor:  # fmt: skip
        """What every head adds to the residual stream (k, d)."""
        layout = resolve(model)
        found = [layout.project(la, h, means[la, h], bias=self.projection_bias) for la, h in heads]
        if self.post_norm:
            gains = mean_gains(model, tokenizer, prompts[:BATCH], bos=self.bos)
            found = [gains[la](written) for (la, _), written in zip(heads, found, strict=True)]
        return torch.stack([written.cpu() for written in found])

    def _choose(
        self, model: Any, tokenizer: Any, examples: Examples, means: torch.Tensor, layout: Layout
    ) -> tuple[Sequence[tuple[int, int]], Effects | None]:
        """The heads that are summed, and the effects that chose them."""
        if self.heads == "published":
            shape = (layout.n_layers, layout.n_heads, layout.hidden_size)
            if shape not in PUBLISHED:
                raise BadSetting(
                    f"fv: no published heads for {shape[0]} layers of {shape[1]} heads; leave "
                    "heads out to find them"
                )
            return PUBLISHED[shape], None
        if self.heads is not None:
            return self.heads, None
        prompts, answers = self.uninformative(examples)
        effects = indirect_effects(
            model, tokenizer, prompts, answers, means, target=self.target, bos=self.bos
        )
        every, mean = layout.heads, effects.values.mean(dim=0)
        k = math.ceil(len(every) / 51.2) if self.top_heads is None else self.top_heads
        best = mean[tuple(torch.tensor(every).T)].topk(min(k, len(every))).indices.tolist()
        return [every[index] for index in best], effects


def default_layer(n_layers: int) -> int:
    """About a third of the depth: ceil(L / 3)."""
    return min(math.ceil(n_layers / 3), n_layers - 1)
