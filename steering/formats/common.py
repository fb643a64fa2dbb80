"""What all foreign formats share: what a reader gives, and what a writer may ask of a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from steering.edit import DTYPES, Edit
from steering.errors import BadVector
from steering.files import number
from steering.store import Stored

ALL_TOKENS = "positions: all"
ADDED = "operation: add"


@dataclass(frozen=True)
class Found:
    """What a foreign file holds.

    Attributes:
        edits: Where and how, layers 0-based.
        coefficient: The file's own strength, 1 where it has none.
        assumed: What the file does not say and its users take for granted.
        facts: What else it says, as JSON.
    """

    edits: tuple[Edit, ...]
    coefficient: float = 1.0
    assumed: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def direction(tensor: Any, what: str) -> Tensor:
    """A tensor (d) of finite floating-point numbers.

    Raises:
        BadVector: anything else.
    """
    if not isinstance(tensor, Tensor):
        raise BadVector(f"{what} is {type(tensor).__name__}, expected a tensor of one axis")
    if tensor.dtype not in DTYPES or tensor.ndim != 1 or not len(tensor):
        raise BadVector(
            f"{what} has shape {tuple(tensor.shape)} of {tensor.dtype}, expected one axis of "
            f"{', '.join(map(str, DTYPES))}"
        )
    if not torch.isfinite(tensor).all():
        raise BadVector(f"{what} holds NaN or infinity")
    return tensor


def same_width(tensors: Mapping[int, Tensor], what: str) -> None:
    """Raise BadVector for directions that cannot belong to one model."""
    widths = sorted({len(tensor) for tensor in tensors.values()})
    if len(widths) != 1:
        raise BadVector(f"{what}: directions of width {widths}, expected at least one, all alike")


def added(tensors: Mapping[int, Tensor], site: str = "block_output") -> tuple[Edit, ...]:
    """Edits that add a direction at each layer, at all positions."""
    return tuple(Edit(site, layer, "add", tensors[layer]) for layer in sorted(tensors))


def strong(tensor: Tensor, coefficient: float) -> Tensor:
    """A tensor with its strength multiplied in, as `add` multiplies it.

    Raises:
        BadVector: the product is not finite.
    """
    product = tensor.detach().cpu() * number(coefficient, "the coefficient")
    if not torch.isfinite(product).all():
        raise BadVector(f"the tensor times the coefficient {coefficient:g} is not finite")
    return product


def by_layer(
    vector: Stored, name: str, *, operation: str = "add", sites: tuple[str, ...] = ("block_output",)
) -> tuple[str, dict[int, Tensor]]:
    """The one site and the tensor of each layer of a vector that a plain format can say.

    Args:
        vector: What is to be written.
        name: The format's name, for messages.
        operation: What the format's readers do.
        sites: Where they do it.

    Raises:
        BadVector: an edit that the format cannot say.
    """
    found: dict[int, Tensor] = {}
    for edit in vector.edits:
        edit.check()
        require_positions(edit, name)
        if edit.operation != operation:
            raise BadVector(
                f"{name} cannot say operation {edit.operation!r}, its readers {operation}; write "
                "this vector as native"
            )
        if edit.site not in sites or edit.site != vector.edits[0].site:
            raise BadVector(
                f"{name} cannot say site {edit.site!r}, expected one of {', '.join(sites)} for the "
                "whole file; write this vector as native"
            )
        if edit.layer in found:
            raise BadVector(f"{name} holds one direction per layer, the vector has two edits at "
                            f"layer {edit.layer}; write it as native")  # fmt: skip
        found[edit.layer] = edit.tensor.detach().cpu()
    same_width(found, name)
    return vector.edits[0].site, found


def require_positions(edit: Edit, name: str) -> None:
    """Raise BadVector for an edit at some tokens only: foreign readers edit all of them."""
    if edit.positions != "all":
        raise BadVector(
            f"{name} cannot say positions {edit.positions!r}, its readers edit all tokens; give "
            "positions all if that is meant, or write this vector as native"
        )
