"""lm-eval's `steered` model: `{module path under base_model: {steering_vector, ...}}` in a `.pt`.

`add` adds `steering_vector * steering_coefficient` to the module's output; `clamp` sets the
component along the vector to `steering_coefficient` (of the output less `bias`, where one is
given). Both edit all tokens. Written without a bias: with one, `add` is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from steering.edit import Edit
from steering.errors import BadVector
from steering.files import number
from steering.formats.common import Found, direction, require_positions, strong
from steering.formats.torch_file import write as torch_bytes
from steering.sites import resolve
from steering.store import Stored

NAME = "lm_eval"
KEYS = {"steering_vector", "steering_coefficient", "action", "bias", "head_index"}
PATH = re.compile(r"(?:.*\.)?(?:layers|h|blocks|block)\.(\d{1,4})(?:\.(.+))?", re.ASCII)
SITES: dict[str | None, str] = {
    None: "block_output",
    "mlp": "mlp_output",
    **dict.fromkeys(
        ("self_attn.o_proj", "self_attn.out_proj", "self_attn.dense", "attn.c_proj",
         "attn.out_proj", "attn.attention.out_proj", "attention.dense", "self_attention.dense"),
        "attn_output",
    ),
}  # fmt: skip
"""What modules are called where no model can be asked."""


def read(config: Mapping[str, Any], name: str, model: nn.Module | None) -> Found:
    """The edits of a file; with the model, its own modules say where they are.

    Raises:
        BadVector: what `steered` could not do either, or a module that is no site.
    """
    places = _modules(model) if model is not None else None
    parts = []
    for path, entry in config.items():
        what = f"{name}: {path[:80]!r}"
        if not isinstance(entry, Mapping) or not {"steering_vector", "action"} <= set(entry):
            raise BadVector(f"{what}: expected a mapping of {', '.join(sorted(KEYS))}")
        if set(entry) - KEYS:
            raise BadVector(f"{what}: an unknown key {min(map(str, set(entry) - KEYS))[:40]!r}")
        if entry.get("head_index") is not None:
            raise BadVector(f"{what}: head_index, which lm-eval itself cannot run; leave it out")
        site, layer = places[path] if places and path in places else _guess(path, what, places)
        tensor = direction(entry["steering_vector"], f"{what}: steering_vector")
        strength = number(entry.get("steering_coefficient", 1.0), f"{what}: steering_coefficient")
        parts.append((site, layer, tensor, *_action(entry, tensor, strength, what)))
    strengths = {strength for *_, operation, strength in parts if operation == "add"}
    common = strengths.pop() if len(strengths) == 1 and all(p[3] == "add" for p in parts) else 1.0
    edits = tuple(
        Edit(site, layer, operation, tensor if strength == common else strong(tensor, strength))
        if operation == "add"
        else Edit(site, layer, operation, strength)
        for site, layer, tensor, operation, strength in parts
    )
    guessed = () if places else (f"modules are named as usual: {', '.join(config)[:200]}",)
    return Found(edits, common, guessed)


def _action(entry: Mapping[str, Any], v: Tensor, strength: float, what: str) -> tuple[str, Any]:
    """("add", strength), or ("clamp" or "project_out", the tensor of that edit)."""
    action, bias = entry["action"], entry.get("bias")
    if action == "add" and bias is None:
        return "add", strength
    if action != "clamp":
        given = "a bias with action 'add'" if action == "add" else f"action {str(action)[:40]!r}"
        raise BadVector(f"{what}: {given}; expected add without a bias, or clamp")
    norm = float(v.norm())
    if norm == 0:
        raise BadVector(f"{what}: clamp along a vector of zeros")
    if bias is not None:  # the component of x - bias is set, so that of x is this much more
        bias = direction(bias, f"{what}: bias")
        if bias.shape != v.shape:
            raise BadVector(f"{what}: a bias of width {len(bias)} for a vector of {len(v)}")
        strength += float((bias.double() * v.double()).sum()) / norm
    if strength == 0:
        return "project_out", v
    return "clamp", v if strength == norm else strong(v / norm, strength)


def _guess(path: str, what: str, places: Any) -> tuple[str, int]:
    """Where a module lies by its name alone."""
    match = PATH.fullmatch(path)
    if places is not None or match is None or match[2] not in SITES:
        known = f"such as {next(iter(places))!r}" if places else "such as 'layers.3'"
        raise BadVector(
            f"{what}: no block, attention output or MLP {'of this model ' if places else ''}has "
            f"this path under base_model; expected one {known}"
        )
    return SITES[match[2]], int(match[1])


def _modules(model: nn.Module) -> dict[str, tuple[str, int]]:
    """(site, layer) of the paths under `base_model`; a block before what shares its output."""
    layout = resolve(model)
    base: Any = getattr(model, "base_model", model)
    names = {id(module): name for name, module in base.named_modules()}
    found: dict[str, tuple[str, int]] = {}
    for site in ("block_output", "attn_output", "mlp_output"):
        for layer in range(layout.n_layers):
            name = names.get(id(layout.module(site, layer)))
            if name:
                found.setdefault(name, (site, layer))
    return found


def content(vector: Stored, model: nn.Module | None) -> bytes:
    """The file of a vector for one model, whose modules it names.

    Raises:
        BadVector: what `steered` cannot do.
    """
    if model is None:
        raise BadVector(f"{NAME} names a model's modules: give the model (--model, --model_args)")
    paths = {place: path for path, place in _modules(model).items()}
    config: dict[str, dict[str, Any]] = {}
    for edit in vector.edits:
        edit.require_fit(resolve(model))
        require_positions(edit, NAME)
        path = paths.get((edit.site, edit.layer))
        if path is None or path in config:
            why = "two edits at" if path else "an edit at"
            raise BadVector(
                f"{NAME} cannot say {why} {edit.site} of layer {edit.layer}; write it as native"
            )
        tensor = edit.tensor.detach().cpu().clone()
        config[path] = {
            "steering_vector": tensor,
            "steering_coefficient": _strength(edit, vector.coefficient),
            "action": "add" if edit.operation == "add" else "clamp",
            "head_index": None,
        }
    return torch_bytes(config)


def _strength(edit: Edit, coefficient: float) -> float:
    """The `steering_coefficient` that does what an edit does."""
    if edit.operation == "add":
        return coefficient
    if edit.operation not in ("clamp", "project_out") or coefficient != 1:
        raise BadVector(
            f"{NAME} cannot say operation {edit.operation!r} at coefficient {coefficient:g}; it "
            "adds, or clamps (or projects out) at coefficient 1; write this vector as native"
        )
    return float(edit.tensor.norm()) if edit.operation == "clamp" else 0.0
