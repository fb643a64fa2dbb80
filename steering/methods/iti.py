"""Inference-time intervention: truthful directions of the heads that tell answers apart best.

    theta = unit( mean(right) - mean(wrong) )  or the weights of the head's probe
    x[head] + coefficient * sigma * theta,     sigma = std of theta . x

x[head] is a head's slice of the output projection's input at the last token of an answered
question. Heads are ranked by the accuracy of a logistic probe on held-out questions.

Source: Li et al., NeurIPS 2023, arXiv:2306.03341. Its code takes sigma from all questions, those
of the test fold included (`sigma_from="questions"` and `unseen`); the paper from what it fits on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from steering.activations import at_end, token_states
from steering.contrast import ContrastiveMethod, Sides, followed, kept_back, pooled
from steering.conventions import Conventions
from steering.directions import unit
from steering.edit import Edit
from steering.method import Examples, register
from steering.probing import of_head, ranked
from steering.reliability import reliability
from steering.sites import resolve
from steering.space import Choice, Integer, Real, SearchSpace, Shape
from steering.tokens import prompt_ids
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class ITI(ContrastiveMethod):
    """Settings.

    Attributes:
        direction: `mass_mean`, or `probe` for the weights of each head's probe.
        top_heads: Heads edited; None takes 48 of 1024, at least one.
        validation: Share of the questions, the last ones, on which heads are ranked.
        unseen: Last questions that nothing but sigma may see.
        sigma_from: `answers` that were fitted on, or `questions`: every answered question with
            another one behind it.
        ddof: 0 divides the variance by n (the first code), 1 by n - 1 (the present one).
        coefficient: Strength.
        positions: Where the directions are added.
    """

    name: ClassVar[str] = "iti"
    summary: ClassVar[str] = "inference-time intervention: truthful heads (arXiv:2306.03341)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="head_output", read_tokens="last", acts_at="head_output: add",
        acts_on="continuation", scale="unit x standard deviation along it",
        sign="desired minus undesired",
    )  # fmt: skip

    contrast: Literal["pairs", "off_task"] = "off_task"
    direction: Literal["mass_mean", "probe"] = "mass_mean"
    top_heads: int | None = None
    validation: float = 0.2
    unseen: int = 0
    sigma_from: Literal["answers", "questions"] = "answers"
    ddof: Literal[0, 1] = 0
    coefficient: float = 15.0
    positions: str = "continuation"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the number of heads and the direction."""
        every = shape.n_layers * shape.n_heads
        return {
            "coefficient": Real(0.5, 60.0, 15.0),
            "top_heads": Integer(1, max(1, every // 4), default_heads(every), log=True),
            "direction": Choice(("mass_mean", "probe")),
            "contrast": Choice(("off_task", "pairs")),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Rank heads by their probes and take their directions; see the module's formula."""
        layout, every = resolve(model), self.sides(examples)
        seen = every[: len(every) - self.unseen]
        parts = kept_back(seen, max(1, round(self.validation * len(seen))), examples.name)
        train, held = (self._heads(model, tokenizer, part) for part in parts)
        states, labels = (torch.cat(both) for both in zip(train, held, strict=True))
        spread = states
        if self.sigma_from == "questions" and getattr(examples, "contrasts", None):
            ids = prompt_ids(tokenizer, followed(examples, self.seed))
            spread = token_states(model, ids, at_end(ids), site="head_output")[:, 0]
        edits, desired, undesired = [], [], []
        best = ranked(layout, train, held)
        for _, layer, head, weights in best[: self.top_heads or default_heads(len(best))]:
            own = of_head(layout, states, layer, head)
            desired.append(own[labels == 1])
            undesired.append(own[labels == 0])
            mean = desired[-1].mean(dim=0) - undesired[-1].mean(dim=0)
            direction = unit(mean if self.direction == "mass_mean" else weights)
            along = of_head(layout, spread, layer, head) @ direction
            tensor = direction * along.std(correction=self.ddof)
            edits.append(Edit("head_output", layer, "add", tensor, self.positions, head))
        return self.vector(
            edits, model, examples, coefficient=self.coefficient,
            unit="standard deviations along the direction",
            heads=[[edit.layer, edit.head] for edit in edits],
            reliability=reliability(desired, undesired, [edit.tensor for edit in edits]),
            accuracies=[round(right, 6) for right, *_ in best[: len(edits)]],
        )  # fmt: skip

    def _heads(self, model: Any, tokenizer: Any, every: list[Sides]) -> tuple[Tensor, Tensor]:
        """Heads at the last token of every answer (n, l, h * d_h), and whether it is right (n)."""
        right, wrong = pooled(every)
        labels = torch.tensor([1] * len(right) + [0] * len(wrong))
        return self.read(model, tokenizer, [*right, *wrong], "last", "head_output"), labels


def default_heads(every: int) -> int:
    """48 of 1024, at least one."""
    return max(1, round(every * 48 / 1024))
