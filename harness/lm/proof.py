"""Proof that steering did something, and the identity of what steered."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch

from steering import SteeringError

if TYPE_CHECKING:
    from torch import Tensor

    from steering import SteeringVector


class SilentNoOp(SteeringError):
    """A vector with a non-zero coefficient was attached and the model's answers cannot differ."""


def max_logit_change(unsteered: Tensor, steered: Tensor) -> float:
    """Largest absolute difference of two logit tensors; equal infinities do not differ."""
    difference = (steered.float() - unsteered.float()).abs()
    return float(difference.masked_fill(unsteered == steered, 0.0).max())


def vector_id(vector: SteeringVector) -> str:
    """12 hex digits that name a vector by its content: edits, tensors, coefficient and unit."""
    digest = hashlib.sha256(json.dumps([vector.coefficient, vector.unit]).encode())
    for edit in vector.edits:
        place = [edit.site, edit.layer, edit.operation, edit.positions, edit.head]
        tensor = edit.tensor.detach().cpu().contiguous()
        digest.update(json.dumps([*place, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes())
        for name in sorted(edit.parameters):
            value = torch.as_tensor(edit.parameters[name]).detach().cpu().double().contiguous()
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()[:12]


def describe(vector: SteeringVector) -> dict[str, object]:
    """What steers, as JSON: for lm-eval's results and for records."""
    edits = vector.edits
    return {
        "id": vector_id(vector),
        "coefficient": vector.coefficient,
        "unit": vector.unit,
        "layers": sorted({edit.layer for edit in edits}),
        "sites": sorted({edit.site for edit in edits}),
        "operations": sorted({edit.operation for edit in edits}),
        "positions": sorted({edit.positions for edit in edits}),
        "provenance": dict(vector.provenance),
    }
