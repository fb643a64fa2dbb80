"""One change of a model's activations: where, how, with what, at which tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from steering.errors import BadVector
from steering.layout import SITES, Layout
from steering.operations import OPERATIONS
from steering.positions import POSITIONS


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of a model's activations.

    Attributes:
        site: One of SITES.
        layer: 0-based block; block_output of layer L is the OUTPUT of block L.
        operation: One of OPERATIONS.
        tensor: (d), or (head_dim) for one head, or (h * head_dim) at head_output.
        positions: One of POSITIONS.
        head: The one query head edited at head_output.
    """

    site: str
    layer: int
    operation: str
    tensor: Tensor
    positions: str = "all"
    head: int | None = None

    def check(self) -> None:
        """Raise BadVector for an edit that no model could take."""
        for value, known, what in (
            (self.site, SITES, "site"),
            (self.operation, tuple(OPERATIONS), "operation"),
            (self.positions, POSITIONS, "positions"),
        ):
            if value not in known:
                raise BadVector(f"{what} {value!r} of an edit; expected one of {', '.join(known)}")
        if self.head is not None and self.site != "head_output":
            raise BadVector(f"head {self.head} given for site {self.site!r}; expected head_output")
        if self.tensor.ndim != 1 or not torch.isfinite(self.tensor).all():
            raise BadVector(
                f"the tensor at {self.site} of layer {self.layer} has shape "
                f"{tuple(self.tensor.shape)}, expected one axis of finite values"
            )

    def require_fit(self, layout: Layout) -> None:
        """Raise BadVector for an edit that a model cannot take."""
        self.check()
        if not 0 <= self.layer < layout.n_layers:
            raise BadVector(
                f"the vector edits layer {self.layer}, the model has layers 0 to "
                f"{layout.n_layers - 1}; fit the vector on this model"
            )
        if self.head is not None and not 0 <= self.head < layout.n_heads:
            raise BadVector(
                f"the vector edits head {self.head}, the model has {layout.n_heads} heads"
            )
        layout.module(self.site, self.layer)
        one = self.head is not None
        width = layout.head_dims[self.layer] if one else layout.width(self.site, self.layer)
        if len(self.tensor) != width:
            raise BadVector(
                f"the vector has width {len(self.tensor)} at {self.site}, the model has {width}; "
                "fit the vector on this model"
            )
