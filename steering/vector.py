"""Steering vectors: edits, a coefficient, and where they came from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steering.attachment import Attachment, Slot, on
from steering.errors import BadVector
from steering.folding import biased, probe, require_equal
from steering.operations import OPERATIONS
from steering.positions import POSITIONS
from steering.sites import SITES, Layout, resolve


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
        width = layout.head_dim if self.head is not None else layout.width(self.site)
        if len(self.tensor) != width:
            raise BadVector(
                f"the vector has width {len(self.tensor)} at {self.site}, the model has {width}; "
                "fit the vector on this model"
            )


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """What a method makes and a model is steered with.

    Attributes:
        edits: Where and how the activations change.
        coefficient: Strength; 0 leaves the model as it is, to the last bit.
        unit: What a coefficient of 1 means: raw, unit norm, relative to the residual norm.
        provenance: Where the vector came from, as JSON.
    """

    edits: tuple[Edit, ...]
    coefficient: float = 1.0
    unit: str = "raw"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __add__(self, other: SteeringVector) -> SteeringVector:
        """Add tensors edit by edit, coefficients included; edits at other places are kept."""
        mine, theirs = _by_place(self), _by_place(other)
        joint = {**mine, **theirs}
        for place in mine.keys() & theirs.keys():
            joint[place] = replace(mine[place], tensor=mine[place].tensor + theirs[place].tensor)
        return SteeringVector(tuple(joint.values()), 1.0, self.unit)

    def __mul__(self, coefficient: float) -> SteeringVector:
        """Scale the coefficient."""
        return replace(self, coefficient=self.coefficient * coefficient)

    __rmul__ = __mul__

    def __neg__(self) -> SteeringVector:
        """Steer the other way."""
        return self * -1.0

    def __sub__(self, other: SteeringVector) -> SteeringVector:
        """Add the other vector's opposite."""
        return self + -other

    def stack(self, other: SteeringVector) -> SteeringVector:
        """Apply this vector's edits and then the other's, each at its own strength."""
        edits = (*_scaled(self), *_scaled(other))
        return SteeringVector(edits, 1.0, self.unit)

    @property
    def layers(self) -> tuple[int, ...]:
        """The edited layers."""
        return tuple(sorted({edit.layer for edit in self.edits}))

    @property
    def nbytes(self) -> int:
        """Size of the tensors in bytes."""
        return sum(edit.tensor.nbytes for edit in self.edits)

    @property
    def norm(self) -> float:
        """Euclidean norm of all tensors together, without the coefficient."""
        return math.sqrt(sum(float(edit.tensor.double().square().sum()) for edit in self.edits))

    def with_coefficient(self, coefficient: float) -> SteeringVector:
        """The same vector at another strength."""
        return replace(self, coefficient=float(coefficient))

    def with_provenance(self, **facts: Any) -> SteeringVector:
        """The same vector with more said about its origin."""
        return replace(self, provenance={**self.provenance, **facts})

    def require_fit(self, layout: Layout) -> None:
        """Raise BadVector for a vector that a model cannot take."""
        if not math.isfinite(self.coefficient):
            raise BadVector(f"coefficient {self.coefficient}; expected a finite number")
        for edit in self.edits:
            edit.require_fit(layout)

    def to(self, device: torch.device | str) -> SteeringVector:
        """The same vector with its tensors on a device."""
        edits = tuple(replace(edit, tensor=edit.tensor.to(device)) for edit in self.edits)
        return replace(self, edits=edits)

    @contextmanager
    def attached(
        self, model: nn.Module, coefficient: float | None = None, *, fold: bool = False
    ) -> Iterator[Attachment]:
        """Steer a model inside a block; afterwards it is as it was, also after an exception.

        Args:
            model: A Hugging Face decoder.
            coefficient: Instead of the vector's own.
            fold: Put the vector into the model's biases instead of hooks: for vectors that add at
                all positions.

        Raises:
            BadVector: The vector does not fit the model, or cannot be folded.
        """
        vector = self if coefficient is None else self.with_coefficient(coefficient)
        vector.require_fit(resolve(model))
        strength = vector.coefficient
        slots = [Slot(edit, strength) for edit in self.edits] if strength != 0 else []
        if fold and slots:
            with on(model, slots):
                hooked = probe(model)
            with biased(model, self.edits, strength):
                require_equal(probe(model), hooked)
                yield Attachment()
            return
        with on(model, slots) as attachment:
            yield attachment

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write steering_config.json, steering_vector.safetensors and README.md."""
        from steering.store import save

        return save(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, model: nn.Module | None = None) -> SteeringVector:
        """Read a saved vector; with a model, refuse one that does not fit it.

        Raises:
            BadVector: The folder holds no vector that can be used.
        """
        from steering.store import load

        return load(Path(folder), model)


def _by_place(vector: SteeringVector) -> dict[tuple[Any, ...], Edit]:
    edits = _scaled(vector)
    found = {(e.site, e.layer, e.operation, e.positions, e.head): e for e in edits}
    if len(found) < len(edits):
        raise BadVector("a vector with two edits at one place cannot be added; use stack")
    return found


def _scaled(vector: SteeringVector) -> tuple[Edit, ...]:
    """Edits whose tensors hold the coefficient. Only `add` is linear in it."""
    if vector.coefficient == 1:
        return vector.edits
    for edit in vector.edits:
        if edit.operation != "add":
            raise BadVector(
                f"operation {edit.operation!r} is not linear in the coefficient "
                f"{vector.coefficient}; vectors of it combine at coefficient 1 only"
            )
    return tuple(replace(edit, tensor=edit.tensor * vector.coefficient) for edit in vector.edits)
