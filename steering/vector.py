"""Steering vectors: edits, a coefficient, and where they came from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from steering import formats, store
from steering.attachment import Attachment, Slot, on, rowwise
from steering.edit import Edit
from steering.errors import BadVector
from steering.files import number
from steering.folding import biased, probe, require_equal
from steering.layout import Layout
from steering.positions import follows_the_beginning
from steering.sites import resolve


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
    def continues(self) -> bool:
        """Whether a prompt's beginning is edited the same whatever comes after it."""
        return all(
            edit.operation != "condition" and follows_the_beginning(edit.positions)
            for edit in self.edits
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """The edited layers."""
        return tuple(sorted({edit.layer for edit in self.edits}))

    @property
    def nbytes(self) -> int:
        """Size of the tensors in bytes."""
        return sum(tensor.nbytes for edit in self.edits for tensor in edit.tensors)

    @property
    def norm(self) -> float:
        """Euclidean norm of all tensors together, without the coefficient."""
        return math.sqrt(sum(float(edit.tensor.double().square().sum()) for edit in self.edits))

    def with_coefficient(self, coefficient: float) -> SteeringVector:
        """The same vector at another strength."""
        return replace(self, coefficient=float(coefficient))

    def at_positions(self, positions: str) -> SteeringVector:
        """The same edits at other tokens."""
        edits = tuple(replace(edit, positions=positions) for edit in self.edits)
        return replace(self, edits=edits)

    def with_provenance(self, **facts: Any) -> SteeringVector:
        """The same vector with more said about its origin."""
        return replace(self, provenance={**self.provenance, **facts})

    def require_fit(self, layout: Layout) -> None:
        """Raise BadVector for a vector that a model cannot take."""
        number(self.coefficient, "the coefficient")
        for edit in self.edits:
            edit.require_fit(layout)

    def to(self, device: torch.device | str) -> SteeringVector:
        """The same vector with its tensors on a device."""
        edits = tuple(edit.to(device) for edit in self.edits)
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
        content = store.Stored(self.edits, self.coefficient, self.unit, self.provenance)
        return store.save(content, Path(folder))

    def save(self, path: str | Path, to: str | None = None, model: nn.Module | None = None) -> Path:
        """Write the vector in another project's format (`steering.formats`).

        Args:
            path: A file; a folder for native and caa.
            to: One of `formats.FORMATS`; None goes by the ending.
            model: The model whose modules an lm_eval file names.

        Raises:
            BadVector: what the format cannot say.
            OSError: it cannot be written.
        """
        content = store.Stored(self.edits, self.coefficient, self.unit, self.provenance)
        return formats.save(content, Path(path), to, model)

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: nn.Module | None = None,
        layers: Sequence[int] | None = None,
    ) -> SteeringVector:
        """Read a vector of any format, recognised by its content (`steering.formats`).

        What the file does not say is listed in `provenance["assumed"]`.

        Args:
            path: A file or a folder.
            model: Refuse a vector that does not fit it; says where an lm_eval file's modules lie.
            layers: Keep these 0-based blocks only.

        Raises:
            BadVector: nothing that can be used, in one line.
        """
        content = formats.load(Path(path), model, None if layers is None else tuple(layers))
        return cls._of(content, Path(path), model)

    @classmethod
    def from_pretrained(cls, folder: str | Path, model: nn.Module | None = None) -> SteeringVector:
        """Read a saved vector; with a model, refuse one that does not fit it.

        Raises:
            BadVector: The folder holds no vector that can be used.
        """
        return cls._of(store.load(Path(folder)), Path(folder), model)

    @classmethod
    def _of(cls, content: store.Stored, place: Path, model: nn.Module | None) -> SteeringVector:
        vector = cls(content.edits, content.coefficient, content.unit, content.provenance)
        if model is not None:
            try:
                vector.require_fit(resolve(model))
            except BadVector as problem:
                raise BadVector(f"{place}: {problem}") from problem
            store.compare_models(place, content.provenance, model)
        return vector


def _by_place(vector: SteeringVector) -> dict[tuple[Any, ...], Edit]:
    edits = _scaled(vector)
    if any(edit.parameters for edit in edits):
        raise BadVector(
            f"operation {next(e.operation for e in edits if e.parameters)!r} has no sum; apply "
            "the vectors one after the other with stack"
        )
    found = {(e.site, e.layer, e.operation, e.positions, e.head): e for e in edits}
    if len(found) < len(edits):
        raise BadVector("a vector with two edits at one place cannot be added; use stack")
    return found


def _scaled(vector: SteeringVector) -> tuple[Edit, ...]:
    """Edits whose tensors hold the coefficient. Only `add` is linear in it."""
    if any(edit.operation == "condition" for edit in vector.edits):
        raise BadVector(
            "a vector with a condition acts alone: its condition would decide for all edits"
        )
    if vector.coefficient == 1:
        return vector.edits
    for edit in vector.edits:
        if edit.operation != "add":
            raise BadVector(
                f"operation {edit.operation!r} is not linear in the coefficient "
                f"{vector.coefficient}; vectors of it combine at coefficient 1 only"
            )
    return tuple(replace(edit, tensor=edit.tensor * vector.coefficient) for edit in vector.edits)


@contextmanager
def attached_by_row(
    model: nn.Module, vectors: Sequence[SteeringVector | None]
) -> Iterator[Attachment]:
    """Steer each row of a batch by its own vector at its own coefficient.

    Rows are edited as if each vector were attached alone; a row without a vector, or at coefficient
    0, stays as it is to the last bit.

    Args:
        model: A Hugging Face decoder.
        vectors: One for each row of the block's forward passes (b).

    Raises:
        BadVector: a vector that does not fit the model, or (in a pass) another number of rows.
    """
    layout = resolve(model)
    for each in {id(v): v for v in vectors if v is not None}.values():
        each.require_fit(layout)
    rows = [((), 0.0) if v is None else (v.edits, v.coefficient) for v in vectors]
    with on(model, rowwise(rows), len(vectors)) as attachment:
        yield attachment
