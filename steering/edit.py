"""One change of a model's activations: where, how, with what, at which tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from steering.errors import BadVector
from steering.files import whole
from steering.layout import EVERY_SITE, Layout
from steering.operations import AXES, OPERATIONS, PARAMETERS, ROWS, Parameter, parameter_shapes
from steering.positions import POSITIONS, is_known

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of a model's activations.

    An edit owns its tensors: a slice of what a fit computed does not keep the rest of it in memory.

    Attributes:
        site: One of SITES, or of the further sites of `steering.sites`.
        layer: 0-based block; block_output of layer L is the OUTPUT of block L.
        operation: One of OPERATIONS.
        tensor: (d), or (head_dim) for one head, or (h * head_dim) at head_output; (k, d) for the
            operations that take several.
        positions: One of POSITIONS, or a single token such as `prompt[0]`.
        head: The one query head edited at head_output.
        parameters: What the operation needs beside its tensor, by name.
    """

    site: str
    layer: int
    operation: str
    tensor: Tensor
    positions: str = "all"
    head: int | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Copy what is a part of a larger tensor."""
        own = {
            name: _own(value) if isinstance(value, Tensor) else value
            for name, value in self.parameters.items()
        }
        object.__setattr__(self, "tensor", _own(self.tensor))
        object.__setattr__(self, "parameters", own)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensor, and those among the parameters."""
        return self.tensor, *(p for p in self.parameters.values() if isinstance(p, Tensor))

    def to(self, device: torch.device | str) -> Edit:
        """The same edit with its tensors on a device."""
        moved = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in self.parameters.items()
        }
        return replace(self, tensor=self.tensor.to(device), parameters=moved)

    def check(self) -> None:
        """Raise BadVector for an edit that no model could take."""
        whole(self.layer, "the layer of an edit")
        if self.head is not None:
            whole(self.head, "the head of an edit")
        for value, known, what in (
            (self.site, EVERY_SITE, "site"),
            (self.operation, tuple(OPERATIONS), "operation"),
            (self.positions, POSITIONS, "positions"),
        ):
            if value not in known and not (what == "positions" and is_known(value)):
                raise BadVector(
                    f"{what} {value!r:.60} of an edit; expected one of {', '.join(known)}"
                )
        if self.head is not None and self.site != "head_output":
            raise BadVector(f"head {self.head} given for site {self.site!r}; expected head_output")
        if self.tensor.dtype not in DTYPES:
            raise BadVector(
                f"the tensor at {self.site} of layer {self.layer} holds {self.tensor.dtype}, "
                f"expected one of {', '.join(map(str, DTYPES))}"
            )
        axes = AXES.get(self.operation, 1)
        complete = self.tensor.ndim == axes and self.tensor.numel() > 0
        complete = complete and len(self.tensor) == ROWS.get(self.operation, len(self.tensor))
        if not complete or not torch.isfinite(self.tensor).all():
            expected = "one axis" if axes == 1 else f"{axes} axes"
            raise BadVector(
                f"the tensor at {self.site} of layer {self.layer} has shape "
                f"{tuple(self.tensor.shape)}, expected {expected} of finite values"
            )
        needed = PARAMETERS[self.operation]
        if set(self.parameters) != set(needed):
            raise BadVector(
                f"operation {self.operation!r} with parameters "
                f"{', '.join(sorted(self.parameters)) or 'none'}; expected "
                f"{', '.join(needed) or 'none'}"
            )
        for name, shape in parameter_shapes(self.operation, self.tensor).items():
            parameter = torch.as_tensor(self.parameters[name])
            if tuple(parameter.shape) != shape or not torch.isfinite(parameter).all():
                raise BadVector(
                    f"parameter {name!r} of {self.operation!r} has shape {tuple(parameter.shape)}, "
                    f"expected {shape} of finite values"
                )

    def require_fit(self, layout: Layout) -> None:
        """Raise BadVector for an edit that a model cannot take."""
        self.check()
        if not 0 <= self.layer < layout.n_layers:
            raise BadVector(
                f"the vector edits layer {self.layer}, the model has layers 0 to "
                f"{layout.n_layers - 1}; fit the vector on this model or keep layers that it has"
            )
        if self.head is not None and not 0 <= self.head < layout.n_heads:
            raise BadVector(
                f"the vector edits head {self.head}, the model has {layout.n_heads} heads"
            )
        layout.module(self.site, self.layer)
        one = self.head is not None
        width = layout.head_dims[self.layer] if one else layout.width(self.site, self.layer)
        found = self.tensor.shape[-1]
        if found != width:
            raise BadVector(
                f"the vector has width {found} at {self.site}, the model has {width}; "
                "fit the vector on this model"
            )


def _own(tensor: Tensor) -> Tensor:
    part = tensor.untyped_storage().nbytes() > tensor.nbytes
    return tensor.clone() if part else tensor
