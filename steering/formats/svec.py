"""CAST's `.svec`: JSON of `model_type`, `directions` by 0-based block, `explained_variances`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steering.errors import BadVector
from steering.files import number
from steering.formats.common import (
    ADDED,
    ALL_TOKENS,
    Found,
    added,
    by_layer,
    direction,
    same_width,
    strong,
)
from steering.store import Stored

NAME = "svec"
LAYER = re.compile(r"\d{1,4}", re.ASCII)
TAKEN = (ADDED, ALL_TOKENS, "site: block_output", "coefficient: 1")


def read(value: Any, name: str) -> Found:
    """The edits of a file.

    Raises:
        BadVector: no directions, or some that are no lists of numbers.
    """
    given = value.get("directions") if isinstance(value, Mapping) else None
    if not isinstance(given, Mapping) or not given:
        raise BadVector(f"{name}: JSON without directions by layer; expected a .svec")
    found: dict[int, Tensor] = {}
    for key, numbers in given.items():
        if not LAYER.fullmatch(key) or int(key) in found:
            raise BadVector(f"{name}: directions of layer {key!r:.40}, expected numbers of blocks, "
                            "such as '3', each once")  # fmt: skip
        found[int(key)] = _tensor(numbers, f"{name}: layer {key}")
    same_width(found, name)
    kind = value.get("model_type")
    facts = {"model_type": kind[:80]} if isinstance(kind, str) else {}
    return Found(added(found), 1.0, TAKEN, facts)


def _tensor(numbers: Any, what: str) -> Tensor:
    """Float32, or float64 where the text says more than that."""
    if not isinstance(numbers, list) or not numbers:
        raise BadVector(f"{what}: {type(numbers).__name__}, expected a list of numbers")
    exact = torch.tensor([number(n, f"{what}: a number") for n in numbers], dtype=torch.float64)
    narrow = exact.float()
    return direction(narrow if torch.equal(narrow.double(), exact) else exact, what)


def content(vector: Stored, model_type: str) -> bytes:
    """The file of a vector that adds to block outputs.

    Raises:
        BadVector: what the format cannot say.
    """
    _, tensors = by_layer(vector, NAME)
    lists = {
        str(layer): strong(tensor, vector.coefficient).double().tolist()
        for layer, tensor in tensors.items()
    }
    value = {"model_type": model_type, "directions": lists, "explained_variances": {}}
    return json.dumps(value, allow_nan=False).encode()
