"""Persona vectors: one tensor (l + 1, d) by index of hidden_states, which is block + 1.

Row 0 belongs to the embeddings, no block's output. Its users add one row at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from steering.edit import DTYPES
from steering.errors import BadVector
from steering.formats import torch_file
from steering.formats.common import ADDED, ALL_TOKENS, Found, added, by_layer, direction, strong
from steering.store import Stored

NAME = "persona"


def read(tensor: Tensor, name: str, n_layers: int | None = None) -> Found:
    """The edits of a tensor; rows of zeros are none.

    Args:
        tensor: By index of hidden_states (l + 1, d).
        name: Of the file.
        n_layers: Of the model, which says whether a first row that is not zero is the embeddings'.

    Raises:
        BadVector: no row but zeros, numbers that are not finite, or rows of another model.
    """
    if tensor.dtype not in DTYPES or tensor.ndim != 2 or len(tensor) < 2:
        raise BadVector(
            f"{name}: a tensor of shape {tuple(tensor.shape)}, expected (layers + 1, d)"
        )
    rows = {
        index - 1: direction(row, f"{name}: row {index}")
        for index, row in enumerate(tensor.unbind())
        if index == 0 or bool(row.any())
    }
    embeddings = bool(rows.pop(-1).any())
    if embeddings and n_layers is not None and len(tensor) != n_layers + 1:
        raise BadVector(
            f"{name}: {len(tensor)} rows, expected {n_layers + 1}: one of the embeddings and those "
            f"of the model's {n_layers} blocks; where the first is missing, put zeros there"
        )
    if not rows:
        raise BadVector(f"{name}: every row after the first is zero; no block would be edited")
    left = ("row 0 (the embeddings) is no block's output and is left out",) if embeddings else ()
    together = (f"{len(rows)} layers edited together (its users: one)",) if len(rows) > 1 else ()
    assumed = (ADDED, ALL_TOKENS, "coefficient: 1", *together, *left)
    return Found(added({layer: row.clone() for layer, row in rows.items()}), 1.0, assumed)


def content(vector: Stored, n_layers: int | None) -> bytes:
    """The file of a vector that adds to block outputs; other rows are zero.

    Args:
        vector: What is written.
        n_layers: Of the model; None takes the layers up to the last that is edited.

    Raises:
        BadVector: what the format cannot say.
    """
    _, tensors = by_layer(vector, NAME)
    rows = max(max(tensors) + 1, n_layers or 0) + 1
    first = next(iter(tensors.values()))
    kind = first.dtype
    for tensor in tensors.values():
        kind = torch.promote_types(kind, tensor.dtype)
    whole = torch.zeros(rows, len(first), dtype=kind)
    for layer, tensor in tensors.items():
        whole[layer + 1] = strong(tensor, vector.coefficient)
    return torch_file.write(whole)
