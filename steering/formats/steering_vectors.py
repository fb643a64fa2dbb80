"""The fields of the package steering-vectors: `layer_activations` by 0-based block, `layer_type`.

The package itself saves nothing; its users keep `vars(vector)`, or the activations alone, with
torch.save. A pickled object of its class is code and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from steering.errors import BadVector
from steering.files import whole
from steering.formats import torch_file
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

NAME = "steering_vectors"
SITES = {"decoder_block": "block_output", "self_attn": "attn_output", "mlp": "mlp_output"}


def read(value: Mapping[Any, Any], name: str) -> Found:
    """The edits of `{layer_activations, layer_type}`, or of `{layer: tensor}`.

    Raises:
        BadVector: a layer type that is no site, or activations that are no directions.
    """
    told = "layer_activations" in value
    activations = value["layer_activations"] if told else value
    kind = value.get("layer_type", "decoder_block") if told else "decoder_block"
    if not isinstance(kind, str) or kind not in SITES:
        raise BadVector(f"{name}: layer_type {kind!r:.40}, expected one of {', '.join(SITES)}")
    if not torch_file.is_mapping(activations, int):
        raise BadVector(f"{name}: layer_activations, expected tensors by layer number")
    found: dict[int, Tensor] = {
        whole(layer, f"{name}: a layer"): direction(tensor, f"{name}: layer {layer}")
        for layer, tensor in activations.items()
    }
    same_width(found, name)
    assumed = [ADDED, ALL_TOKENS, "coefficient: 1"]
    assumed += [] if told and "layer_type" in value else ["site: block_output"]
    return Found(added(found, SITES[kind]), 1.0, tuple(assumed))


def content(vector: Stored) -> bytes:
    """The file of a vector that adds at one site.

    Raises:
        BadVector: what the format cannot say.
    """
    site, tensors = by_layer(vector, NAME, sites=tuple(SITES.values()))
    kind = next(kind for kind, place in SITES.items() if place == site)
    activations = {layer: strong(tensor, vector.coefficient) for layer, tensor in tensors.items()}
    return torch_file.write({"layer_activations": activations, "layer_type": kind})
