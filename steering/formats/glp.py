"""GLP: a GGUF control vector that says its operation, its site and its strength.

`glp.mode` is `add` or `project` (x less alpha times its component along the direction, which has
unit length); `glp.hook_point` is where; `glp.content_sha256` covers the numbers, layers ascending.
Files from before the format had its name use the prefix `dspark.`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from steering.edit import Edit
from steering.errors import BadVector
from steering.files import number
from steering.formats import gguf
from steering.formats.common import ALL_TOKENS, Found, by_layer, strong
from steering.store import Stored

NAME = "glp"
PREFIXES = ("glp.", "dspark.")
OPERATIONS = {"add": "add", "project": "project_out"}
HOOKS = {
    "residual_stream_post_layer": "block_output",
    "attn_out_pre_residual": "attn_output",
    "ffn_out_pre_residual": "mlp_output",
}
UNIT = 1e-5
"""How far from 1 the length of a direction may be that is written as it is."""


def is_glp(metadata: Mapping[str, Any]) -> bool:
    """Whether a GGUF file says more than a plain control vector."""
    return any(key.startswith(PREFIXES) for key in metadata)


def read(file: gguf.File) -> Found:
    """The edits of a file of rank 1.

    Raises:
        BadVector: a mode, hook point, version or rank that is not known, or a wrong sha256.
    """
    prefix = next(p for p in PREFIXES if any(key.startswith(p) for key in file.metadata))
    own = {k.removeprefix(prefix): v for k, v in file.metadata.items() if k.startswith(prefix)}
    mode = _known(own.get("mode", "add"), OPERATIONS, "mode", file.name)
    hook = own.get("hook_point")
    site = "block_output" if hook is None else _known(hook, HOOKS, "hook_point", file.name)
    version, rank = own.get("spec_version", 1), own.get("rank", 1)
    scaled = sorted({"dir_scales", "layer_scales"} & set(own))
    if version not in (1, 2) or rank != 1 or scaled:
        raise BadVector(
            f"{file.name}: spec_version {version!r:.20}, rank {rank!r:.20}"
            f"{', ' + scaled[0] if scaled else ''}; expected version 1 or 2, rank 1 and one alpha"
        )
    found = gguf.directions(file)
    digest = own.get("content_sha256")
    if digest is not None and digest != _digest(found):
        raise BadVector(f"{file.name}: its numbers are not those of content_sha256; fetch it anew")
    alpha = number(own.get("alpha_default", 1.0), f"{file.name}: alpha_default")
    edits = tuple(Edit(site, layer, mode, found[layer]) for layer in sorted(found))
    assumed = [ALL_TOKENS]
    assumed += ["site: block_output"] if hook is None else []
    assumed += ["coefficient: 1"] if "alpha_default" not in own else []
    derived = own.get("derived_at", hook)
    facts = {} if derived == hook else {"derived_at": str(derived)[:80]}
    return Found(edits, alpha, tuple(assumed), facts)


def _known(value: Any, known: Mapping[str, str], key: str, name: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise BadVector(f"{name}: {key} {value!r:.40}, expected one of {', '.join(known)}")
    return known[value]


def content(vector: Stored, model_type: str) -> bytes:
    """The file of a vector that adds or projects out, at one site, at all tokens.

    Raises:
        BadVector: what the format cannot say.
    """
    operation = vector.edits[0].operation
    mode = next((mode for mode, op in OPERATIONS.items() if op == operation), "add")
    site, tensors = by_layer(vector, NAME, operation=OPERATIONS[mode], sites=tuple(HOOKS.values()))
    alpha = vector.coefficient if mode == "project" else 1.0
    if mode == "project" and alpha < 0:
        raise BadVector(f"{NAME} cannot say a negative coefficient ({alpha:g}) of project_out")
    tensors = {
        layer: _unit(tensor) if mode == "project" else strong(tensor, vector.coefficient)
        for layer, tensor in sorted(tensors.items())
    }
    hook = next(hook for hook, place in HOOKS.items() if place == site)
    return gguf.pack(
        {
            **gguf.metadata(tensors, model_type),
            "glp.spec_version": 1,
            "glp.mode": mode,
            "glp.alpha_default": float(alpha),
            "glp.rank": 1,
            "glp.hook_point": hook,
            "glp.derived_at": hook,
            "glp.layer_ids_zero_based": ",".join(map(str, tensors)),
            "glp.content_sha256": _digest(tensors),
        },
        tensors,
    )


def _unit(tensor: Tensor) -> Tensor:
    """A direction of length 1: readers multiply by it twice and do not all normalise."""
    wide = tensor.float()
    return wide if abs(float(wide.norm()) - 1) < UNIT else F.normalize(wide, dim=-1)


def _digest(tensors: Mapping[int, Tensor]) -> str:
    digest = hashlib.sha256()
    for layer in sorted(tensors):
        digest.update(tensors[layer].float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
