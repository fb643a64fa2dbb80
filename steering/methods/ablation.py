"""Directional ablation: one direction taken out of all that is written to the residual stream.

    r = mean x_L(desired)[token] - mean x_L(undesired)[token],    h - (h . r^) r^

x_L is the input of block L. The direction is projected out of every block's input and of every
attention's and MLP's output, at all tokens; `mode="add"` adds r to the input of block L instead.
Where first tokens of the behaviour are given, token and layer (below 0.8 L) are those whose
ablation makes them least likely on texts kept back, among those that leave the other texts' next
token alone and that, added, bring the behaviour about.

Source: Arditi et al., arXiv:2406.11717 (there harmful minus harmless instructions).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from steering.activations import at_end, token_states
from steering.contrast import ContrastiveMethod, Text, contrastive_space, kept_back, pooled, spans
from steering.conventions import Conventions
from steering.edit import Edit
from steering.first_token import least_likely
from steering.method import Examples, register
from steering.reliability import reliability
from steering.sites import resolve
from steering.space import Choice, Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector

PLACES = ("block_input", "attn_output", "mlp_output")


@register
@dataclass(frozen=True, kw_only=True)
class Ablation(ContrastiveMethod):
    """Settings.

    Attributes:
        layer: 0-based block whose input is read; None takes the middle one.
        token: Which token is read, counted from the end: -1 is the last.
        targets: First tokens of the desired behaviour; with them layer and token are chosen.
        tokens: Last tokens that are candidates, the template's after the instruction.
        validation: Questions, the last ones, on which they are chosen.
        largest_drift: Of the undesired texts' next token, in nats, under ablation; None: any.
        least_induced: Log-odds of the targets that adding must reach on undesired texts; None: any.
        mode: `ablate` everywhere, or `add` at the layer.
        coefficient: Strength.
        positions: Where the edits act.
    """

    name: ClassVar[str] = "ablation"
    summary: ClassVar[str] = "directional ablation: a direction projected out (arXiv:2406.11717)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_input", read_tokens="one of the last",
        acts_at="block_input, attn_output, mlp_output: project_out", acts_on="all",
        scale="unit (add: none)", sign="none (add: desired minus undesired)",
    )  # fmt: skip

    layer: int | None = None
    token: int = -1
    targets: tuple[int, ...] = ()
    tokens: int = 1
    validation: int = 32
    largest_drift: float | None = 0.1
    least_induced: float | None = 0.0
    mode: Literal["ablate", "add"] = "ablate"
    coefficient: float = 1.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The mode, the strength, the layer and the contrast."""
        return {
            "coefficient": Real(0.1, 10.0, 1.0),
            "mode": Choice(("ablate", "add")),
            **contrastive_space(shape, 0.5),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Take the mean difference; see the module's formula."""
        back = self.validation if self.targets else 0
        fitted, held = kept_back(self.sides(examples), back, examples.name)
        sides = [self._inputs(model, tokenizer, side) for side in pooled(fitted)]
        directions = sides[0].mean(dim=0) - sides[1].mean(dim=0)  # (p, l, d)
        place = self.token, at_depth(self.layer, directions.shape[1], 0.5, self.name)
        if self.targets:
            asked, others = (spans(tokenizer, side, "last")[0] for side in pooled(held))
            place = least_likely(
                model, directions[-self.tokens :].float(), partial(self._edits, model),
                asked, others, self.targets,
                largest_drift=self.largest_drift, least_induced=self.least_induced,
            )  # fmt: skip
        edits = self._edits(model, directions[place].float(), place[1], self.mode == "add")
        desired, undesired = (side[:, place[0], place[1]] for side in sides)
        return self.vector(
            edits, model, examples, coefficient=self.coefficient, token=place[0], layer=place[1],
            reliability=reliability([desired], [undesired], [directions[place]]),
        )  # fmt: skip

    def _edits(self, model: Any, direction: Tensor, layer: int, add: bool) -> list[Edit]:
        if add:
            return [Edit("block_input", layer, "add", direction, self.positions)]
        every = [(site, at) for site in PLACES for at in resolve(model).layers(site)]
        return [Edit(site, at, "project_out", direction, self.positions) for site, at in every]

    def _inputs(self, model: Any, tokenizer: Any, texts: list[Text]) -> Tensor:
        """Inputs of every block at the last tokens, (n, p, l, d), in float64."""
        ids, _ = spans(tokenizer, texts, "last")
        read = at_end(ids, max(self.tokens, -self.token))
        return token_states(model, ids, read, site="block_input").double()
