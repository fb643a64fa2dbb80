"""Steering vectors: edits, a coefficient, and where they came from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steering.errors import BadVector
from steering.folding import biased, probe, require_equal
from steering.hooks import Change, changing, watching
from steering.operations import OPERATIONS, Coefficient
from steering.positions import POSITIONS, Pass
from steering.sites import SITES, resolve


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


@dataclass(eq=False)
class Attachment:
    """A vector on a model.

    Attributes:
        calls: Forward passes in which at least one edit was applied.
    """

    calls: int = 0
    _now: Pass = field(default_factory=lambda: Pass(1, 1))
    _rows: tuple[Tensor, Tensor] | None = None
    _counted: bool = False

    @contextmanager
    def lengths(self, prompt: Tensor, total: Tensor) -> Iterator[None]:
        """State where the prompt ends and how long each row of right-padded passes is.

        Args:
            prompt: Prompt tokens of each row (b).
            total: Real tokens of each row (b).
        """
        outer, self._rows = self._rows, (prompt, total)
        try:
            yield
        finally:
            self._rows = outer

    def _begin(self, now: Pass) -> None:
        if self._rows is not None:
            now.prompt_lengths, now.lengths = self._rows
        self._now, self._counted = now, False

    def _edit(self, edit: Edit, columns: slice | None, coefficient: Coefficient) -> Change:
        operation, on_device = OPERATIONS[edit.operation], edit.tensor

        def change(x: Tensor) -> Tensor | None:
            nonlocal on_device
            if x.ndim == 2:  # OPT's MLP works on batch and tokens as one axis
                new = change(x.view(self._now.batch, self._now.width, -1))
                return None if new is None else new.view_as(x)
            where = self._now.choose(edit.positions)
            if isinstance(where, slice) and where.start >= where.stop:
                return None
            if not self._counted:
                self.calls, self._counted = self.calls + 1, True
            if on_device.device != x.device:
                on_device = on_device.to(x.device)
            everywhere = isinstance(where, slice) and where == slice(0, x.shape[1])
            if columns is None and everywhere:
                return operation(x, on_device, coefficient)
            new = x.clone()
            part = new if columns is None else new[..., columns]
            if isinstance(where, slice):
                part[:, where] = operation(part[:, where], on_device, coefficient)
            else:
                steered = operation(part, on_device, coefficient)
                part.copy_(torch.where(where.unsqueeze(-1), steered, part))
            return new

        return change


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

    @contextmanager
    def attached(
        self, model: nn.Module, coefficient: Coefficient | None = None, *, fold: bool = False
    ) -> Iterator[Attachment]:
        """Steer a model inside a block; afterwards it is as it was, also after an exception.

        Args:
            model: A Hugging Face decoder.
            coefficient: Instead of the vector's own; a tensor (b) gives each row of a batch its
                own.
            fold: Put the vector into the model's biases instead of hooks: for vectors that add at
                all positions, one coefficient for all rows.

        Raises:
            BadVector: The vector does not fit the model, or cannot be folded.
        """
        strength = self.coefficient if coefficient is None else coefficient
        if not bool(torch.as_tensor(strength).isfinite().all()):
            raise BadVector(f"coefficient {strength}; expected a finite number")
        if isinstance(strength, Tensor):
            strength = strength[:, None, None]
        layout = resolve(model)
        attachment = Attachment()
        changes: dict[tuple[str, int], list[Change]] = {}
        for edit in self.edits:
            columns = _fit(edit, layout)
            change = attachment._edit(edit, columns, strength)
            changes.setdefault((edit.site, edit.layer), []).append(change)
        if fold:
            with self._folded(model, strength):
                yield attachment
            return
        with ExitStack() as stack:
            if bool(torch.as_tensor(strength).any()):
                stack.enter_context(watching(model, attachment._begin))
                chained = {place: _chain(parts) for place, parts in changes.items()}
                stack.enter_context(changing(model, chained))
            yield attachment

    @contextmanager
    def _folded(self, model: nn.Module, strength: Coefficient) -> Iterator[None]:
        if isinstance(strength, Tensor):
            raise BadVector("fold=True takes one coefficient for all rows, got one for each")
        if strength == 0:
            yield
            return
        with self.attached(model, strength):
            hooked = probe(model)
        with biased(model, self.edits, strength):
            require_equal(probe(model), hooked)
            yield

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


def _chain(parts: list[Change]) -> Change:
    if len(parts) == 1:
        return parts[0]

    def change(x: Tensor) -> Tensor:
        for part in parts:
            new = part(x)
            x = x if new is None else new
        return x

    return change


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


def _fit(edit: Edit, layout: Any) -> slice | None:
    """Check an edit against a model; return the columns of its head."""
    edit.check()
    if not 0 <= edit.layer < layout.n_layers:
        raise BadVector(
            f"the vector edits layer {edit.layer}, the model has layers 0 to "
            f"{layout.n_layers - 1}; fit the vector on this model"
        )
    if edit.head is not None and not 0 <= edit.head < layout.n_heads:
        raise BadVector(f"the vector edits head {edit.head}, the model has {layout.n_heads} heads")
    width = layout.head_dim if edit.head is not None else layout.width(edit.site)
    if len(edit.tensor) != width:
        raise BadVector(
            f"the vector has width {len(edit.tensor)} at {edit.site}, the model has {width}; fit "
            "the vector on this model"
        )
    if edit.head is None:
        return None
    return slice(edit.head * layout.head_dim, (edit.head + 1) * layout.head_dim)
