"""Linear activation transport: carry every neuron from undesired texts to desired ones.

    slope = cov(x, y) / var(x),   T(h) = mean(y) + slope (h - mean(x))

x and y are a neuron's means over the tokens of undesired and desired texts, sorted: the optimal
transport on the line. T acts on the output of every norm, at all tokens, where h lies within the
range of x (`operations.transport`). Each norm is fitted with the maps before it at work.

Source: Rodriguez et al., arXiv:2410.23054, and its code, whose source texts bear the label true.
`transport="mean"` is Mean-AcT: slope 1 and no range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from steering.activations import rows
from steering.contrast import ContrastiveMethod, contrastive_space, paired, spans
from steering.conventions import Conventions
from steering.directions import optimal_map
from steering.edit import Edit
from steering.hooks import Change, changing
from steering.inner import norm_places
from steering.method import Examples, register
from steering.operations import transport
from steering.sites import resolve
from steering.space import Choice, Real, SearchSpace, Shape
from steering.tracing import last_logits
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class LinearAcT(ContrastiveMethod):
    """Settings.

    Attributes:
        transport: `linear`, or `mean` for a shift.
        support: `source` acts within the range of the undesired texts, `all` everywhere; None takes
            what is published for the transport.
        sequential: Fit each norm with the maps before it at work.
        final_norm: Act on the norm after the last block as well.
        coefficient: Strength: part of the way, 0 to 1.
        positions: Where the maps act.
    """

    name: ClassVar[str] = "linear_act"
    summary: ClassVar[str] = "linear activation transport: a map per neuron (arXiv:2410.23054)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="norm outputs", read_tokens="mean over all", acts_at="norm outputs: transport",
        acts_on="all", scale="part of the way", sign="from undesired to desired",
    )  # fmt: skip

    transport: Literal["linear", "mean"] = "linear"
    support: Literal["source", "all"] | None = None
    sequential: bool = True
    final_norm: bool = False
    coefficient: float = 1.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the transport, its support and the contrast."""
        return {
            "coefficient": Real(0.05, 1.0, 1.0),
            "transport": Choice(("linear", "mean")),
            "support": Choice((None, "all")),
            "contrast": contrastive_space(shape, 0.5)["contrast"],
        }

    @torch.no_grad()
    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Fit every norm's map in one pass over all texts; see the module's formula."""
        layout = resolve(model)
        right, wrong = paired(self.sides(examples))
        ids, _ = spans(tokenizer, [*wrong, *right], "whole")
        inputs, sizes = rows(ids, model)
        weight = inputs["attention_mask"] / sizes[:, None]
        edits: list[Edit] = []
        linear = self.transport == "linear"
        everywhere = self.support == "all" or (self.support is None and not linear)

        def fitting(site: str, layer: int) -> Change:
            def change(x: Tensor) -> Tensor | None:
                flat = x.view(*weight.shape, -1)
                means = torch.einsum("bs,bsd->bd", weight.to(x.device), flat.float())
                v, parameters = optimal_map(
                    means[: len(wrong)], means[len(wrong) :], linear=linear, everywhere=everywhere
                )
                own = {name: value.cpu() for name, value in parameters.items()}
                edits.append(
                    Edit(site, layer, "transport", v.cpu(), self.positions, parameters=own)
                )
                if not self.sequential:
                    return None
                return transport(flat, v, self.coefficient, **parameters).view_as(x)

            return change

        places = norm_places(layout.blocks)
        if self.final_norm:
            places.append(("final_norm", layout.n_layers - 1))
        with changing(model, {place: fitting(*place) for place in places}):
            model(**inputs, use_cache=False, **last_logits(model))
        return self.vector(
            edits, model, examples, coefficient=self.coefficient, unit="part of the way"
        )
