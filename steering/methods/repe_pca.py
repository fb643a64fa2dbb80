"""Representation engineering: the first principal component of shuffled differences.

    D_i = h(desired_i) - h(undesired_i),   v = PC1( s_i D_i - mean ),   s_i = +1 or -1 at random

h is the output of a block at the last token. Shuffling the order within half of the pairs is what
keeps the mean difference: centring removes it where all pairs stand in one order. v is a unit
vector, signed so that the desired text lies further along in most pairs, and is added to the
outputs of many blocks at all tokens.

Source: Zou et al., arXiv:2310.01405. Its code reads the last block after the final norm and
controls it before. `centred=False, sign="mean"` is the PCA of the package steering-vectors.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from steering.contrast import ContrastiveMethod, contrastive_space
from steering.conventions import Conventions
from steering.directions import by_majority, by_mean, first_component
from steering.edit import Edit
from steering.method import Examples, register
from steering.reliability import reliability
from steering.sites import resolve
from steering.space import Choice, Real, SearchSpace, Shape, at_depth
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class RepEPCA(ContrastiveMethod):
    """Settings.

    Attributes:
        first: First edited block; None takes 1 of 32.
        last: Last edited block; None takes 22 of 32.
        swapped: Pairs whose undesired text comes first; None draws half of them by seed.
        centred: Subtract the mean of the shuffled differences.
        sign: `majority` of the pairs, or `mean` difference.
        final_norm: Read the last block after the final norm, as the reference does.
        keep_norm: Restore the norm of every token after the addition.
        coefficient: Strength.
        positions: Where the vectors are added.
    """

    name: ClassVar[str] = "repe_pca"
    summary: ClassVar[str] = "representation engineering: PC1 of differences (arXiv:2310.01405)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output (the last one: final_norm)", read_tokens="last",
        acts_at="block_output: add", acts_on="all", scale="unit", sign="majority of pairs",
    )  # fmt: skip

    first: int | None = None
    last: int | None = None
    swapped: tuple[int, ...] | None = None
    centred: bool = True
    sign: Literal["majority", "mean"] = "majority"
    final_norm: bool = True
    keep_norm: bool = False
    coefficient: float = 8.0
    positions: str = "all"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the last edited block and the contrast."""
        layer, contrast = contrastive_space(shape, 22 / 32).values()
        return {
            "coefficient": Real(0.03, 100.0, 8.0),
            "last": layer,
            "contrast": contrast,
            "keep_norm": Choice((False, True)),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Take a direction in every block; see the module's formula."""
        right, wrong = self.partners(model, tokenizer, examples, "last", "block_output")
        n, n_layers = right.shape[:2]
        if self.final_norm and resolve(model).layers("final_norm"):
            right[:, -1:], wrong[:, -1:] = self.partners(
                model, tokenizer, examples, "last", "final_norm"
            )
        found = right - wrong
        rng = random.Random(f"order {self.seed}")
        swapped = rng.sample(range(n), n // 2) if self.swapped is None else list(self.swapped)
        order = torch.ones(n, 1)
        order[swapped] = -1
        last = at_depth(self.last, n_layers, 22 / 32, self.name)
        first = min(at_depth(self.first, n_layers, 1 / 32, self.name), last)
        signed = by_majority if self.sign == "majority" else by_mean
        edits = []
        for layer in range(first, last + 1):
            component = first_component(order * found[:, layer], centred=self.centred)
            operation = "add_and_keep_norm" if self.keep_norm else "add"
            tensor = signed(component, found[:, layer])
            edits.append(Edit("block_output", layer, operation, tensor, self.positions))
        places = [edit.layer for edit in edits]
        return self.vector(
            edits, model, examples, coefficient=self.coefficient, unit="unit norm",
            reliability=reliability(
                right[:, places].unbind(1), wrong[:, places].unbind(1), [e.tensor for e in edits]
            ),
        )  # fmt: skip
