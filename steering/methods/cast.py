"""Conditional activation steering: a behaviour vector that acts only where a condition is met.

    behaviour = top eigenvector of sum d d^T,  d = mean over the answer (desired - undesired)
    condition = the same for prompts that shall be steered against others, mean over all tokens

Both are unit vectors, signed by the majority of pairs and read at the output of block L. They work
at the INPUT of block L, one block earlier, as published. The condition is met where
cos(h, tanh(c c^T h)) of the prompt's mean h is above (or below) a threshold; condition layer,
threshold and side are those that tell the fitted prompts apart best (F1).

Source: Lee et al., arXiv:2409.05907. Its code steers only the first row of a batch; here each row
is judged and steered. Here the prompts to be steered are the task's own questions, and the others
are answers that stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from steering.activations import at_end, token_states
from steering.contrast import (
    ContrastiveMethod,
    contrastive_space,
    paired,
    signed_components,
    spans,
)
from steering.conventions import Conventions
from steering.edit import Edit
from steering.gates import GRID, best_condition
from steering.method import Examples, register
from steering.space import Choice, Real, SearchSpace, Shape, at_depth
from steering.tokens import prompt_ids
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class CAST(ContrastiveMethod):
    """Settings.

    Attributes:
        first: First steered block; None takes 15 of 32.
        last: Last steered block; None takes 23 of 32.
        conditional: Steer only where the condition is met.
        condition_layer: Block whose input is judged; None takes the best one up to `first`.
        threshold: None takes the best one on a grid of .01.
        above: Met above the threshold (or below); None takes the better one.
        judged: `prompt` judges the mean over the prompt, `last_prompt` its last token.
        coefficient: Strength.
        positions: Where the behaviour vectors are added.
    """

    name: ClassVar[str] = "cast"
    summary: ClassVar[str] = "conditional activation steering (arXiv:2409.05907)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output (the last one: final_norm)", read_tokens="mean over the answer",
        acts_at="block_input: add, condition", acts_on="all", scale="unit",
        sign="majority of pairs",
    )  # fmt: skip

    first: int | None = None
    last: int | None = None
    conditional: bool = True
    condition_layer: int | None = None
    threshold: float | None = None
    above: bool | None = None
    judged: Literal["prompt", "last_prompt"] = "prompt"
    coefficient: float = 1.5
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the last edited block, the contrast, and whether there is a condition."""
        layer, contrast = contrastive_space(shape, 23 / 32).values()
        return {
            "coefficient": Real(0.03, 100.0, 1.5),
            "last": layer,
            "contrast": contrast,
            "conditional": Choice((True, False)),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Find the behaviour's directions and the condition; see the module's formula."""
        found = self._behaviour(model, tokenizer, examples)
        n_layers = len(found)
        last = at_depth(self.last, n_layers, 23 / 32, self.name)
        first = min(at_depth(self.first, n_layers, 15 / 32, self.name), last)
        edits = [
            Edit("block_input", layer, "add", found[layer], self.positions)
            for layer in range(first, last + 1)
        ]
        if self.conditional:
            edits.insert(0, self._condition(model, tokenizer, examples, first))
        return self.vector(edits, model, examples, coefficient=self.coefficient, unit="unit norm")

    def _behaviour(self, model: Any, tokenizer: Any, examples: Examples) -> Tensor:
        """Unit directions (l, d); both members are read over as many tokens as the desired has."""
        right, wrong = paired(self.sides(examples))
        ids, own = spans(tokenizer, [*right, *wrong], "answer")
        counts = [stop - start for start, stop in own[: len(right)]] * 2
        read = [(max(0, len(s) - k), len(s)) for s, k in zip(ids, counts, strict=True)]
        return signed_components(model, ids, read)

    def _condition(self, model: Any, tokenizer: Any, examples: Examples, first: int) -> Edit:
        """The edit that opens the gate: condition vector, layer, threshold and side."""
        pairs = examples.pairs[: self.pairs]
        texts = [*(examples.prompt((), x) for x, _ in pairs), *(y for _, y in pairs)]
        ids = prompt_ids(tokenizer, texts)
        vectors = signed_components(model, ids, [(0, len(own)) for own in ids])
        judged = at_end(ids) if self.judged == "last_prompt" else [[(0, len(own))] for own in ids]
        inputs = token_states(model, ids, judged, site="block_input")[:, 0]
        layers = range(first + 1) if self.condition_layer is None else [self.condition_layer]
        thresholds = GRID if self.threshold is None else (self.threshold,)
        sides = (1.0, 0.0) if self.above is None else (float(self.above),)
        layer, point = best_condition(inputs, vectors, layers, thresholds, sides)
        return Edit(
            "block_input", layer, "condition", vectors[layer], self.judged, parameters=point
        )
