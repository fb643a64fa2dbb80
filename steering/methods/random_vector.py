"""A control: random directions of the same norm at the same place as another method's vector."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from steering.method import Examples, SteeringMethod, get, register
from steering.space import SearchSpace, Shape
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class RandomVector(SteeringMethod):
    """Settings.

    Attributes:
        of: The method that is matched.
        of_settings: Its settings.
    """

    name: ClassVar[str] = "random_vector"
    summary: ClassVar[str] = "control: random directions, norm and place of another method's"
    control: ClassVar[bool] = True

    of: str = "fv"
    of_settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """Nothing: a control takes the settings of the method it is matched to."""
        return {}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Replace every tensor by Gaussian directions of the same norm.

        What an operation needs beside its tensor (the range of a transport, a condition) stays, and
        so do conditions themselves: the control acts where and when the method does.
        """
        matched = get(self.of).from_settings(self.of_settings).fit(model, tokenizer, examples)
        generator = torch.Generator().manual_seed(self.seed)
        drawn: dict[int, Tensor] = {}  # what is one direction stays one, in however many edits
        edits = []
        for edit in matched.edits:
            if id(edit.tensor) not in drawn:
                drawn[id(edit.tensor)] = _like(edit.tensor, generator)
            random = edit.operation != "condition"
            tensor = drawn[id(edit.tensor)] if random else edit.tensor
            edits.append(dataclasses.replace(edit, tensor=tensor))
        return self.vector(
            edits, model, examples, coefficient=matched.coefficient, unit=matched.unit
        )


def _like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian directions with the norms of a tensor's rows."""
    noise = torch.randn(tensor.shape, generator=generator)
    norms: Tensor = tensor.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return noise * norms
