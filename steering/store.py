"""Steering vectors on disk: JSON for what they are, safetensors for the numbers, a card to read.

A folder holds `steering_config.json`, `steering_vector.safetensors` and `README.md`. Nothing is
pickled. A folder may come from anywhere, so that everything in it is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from steering.conventions import lines as lines_of
from steering.edit import Edit
from steering.errors import BadVector
from steering.operations import Parameter

FORMAT = 2
"""1 knew no parameters; its folders are read as well."""
CONFIG, TENSORS, CARD = "steering_config.json", "steering_vector.safetensors", "README.md"


class Stored(NamedTuple):
    """What a folder holds of a steering vector (`steering.vector.SteeringVector`)."""

    edits: tuple[Edit, ...]
    coefficient: float
    unit: str
    provenance: Mapping[str, Any]


def save(vector: Stored, folder: Path) -> Path:
    """Write a vector; each file appears whole or not at all, the config last.

    Raises:
        OSError: The folder cannot be written.
    """
    for edit in vector.edits:
        edit.check()
    tensors: dict[str, Tensor] = {}
    for i, edit in enumerate(vector.edits):
        own = {f"edit_{i}": edit.tensor, **_named(f"edit_{i}", edit.parameters)}
        tensors |= {name: tensor.detach().cpu().clone() for name, tensor in own.items()}
    content = tensor_bytes(tensors)
    config = {
        "format": FORMAT,
        "coefficient": vector.coefficient,
        "unit": vector.unit,
        "edits": [
            {
                "tensor": f"edit_{i}",
                "site": edit.site,
                "layer": edit.layer,
                "operation": edit.operation,
                "positions": edit.positions,
                "head": edit.head,
                "parameters": {
                    key: f"edit_{i}.{key}" if isinstance(value, Tensor) else float(value)
                    for key, value in edit.parameters.items()
                },
            }
            for i, edit in enumerate(vector.edits)
        ],
        "layer_base": 0,
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
        "provenance": dict(vector.provenance),
    }
    text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / TENSORS, content)
    _write(folder / CARD, _card(vector).encode())
    _write(folder / CONFIG, text.encode())
    return folder


def _named(prefix: str, parameters: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """The tensors among parameters by their names in the file."""
    found = parameters.items()
    return {f"{prefix}.{key}": value for key, value in found if isinstance(value, Tensor)}


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _card(vector: Stored) -> str:
    facts = vector.provenance
    layers = sorted({edit.layer for edit in vector.edits})
    places = sorted({(edit.site, edit.operation, edit.positions) for edit in vector.edits})
    lines = [
        "# Steering vector",
        "",
        f"- method: {facts.get('method', 'unknown')} {facts.get('method_version', '')}".rstrip(),
        f"- task: {facts.get('task', 'unknown')}",
        f"- base model: {facts.get('base_model') or 'unknown'}",
        f"- layers (0-based blocks): {', '.join(map(str, layers))}",
        *(f"- {site}, {operation}, positions {kind}" for site, operation, kind in places),
        f"- coefficient: {vector.coefficient} ({vector.unit})",
        *lines_of(facts.get("conventions") or {}),
        "",
        "```python",
        "from steering import SteeringVector",
        "",
        'with SteeringVector.from_pretrained("this folder", model).attached(model):',
        "    model.generate(...)",
        "```",
        "",
    ]
    return "\n".join(lines)


def load(folder: Path) -> Stored:
    """Read a vector.

    Raises:
        BadVector: The folder holds no vector that can be used.
    """
    config = _config(folder)
    tensors = _tensors(folder, config)
    try:
        edits = tuple(_edit(item, tensors) for item in config["edits"])
        coefficient, unit = float(config["coefficient"]), str(config["unit"])
        provenance = dict(config["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadVector):
            raise
        raise BadVector(
            f"{folder / CONFIG}: missing or malformed: {error}; save it anew"
        ) from error
    if not edits or not math.isfinite(coefficient):
        raise BadVector(f"{folder / CONFIG}: no edits, or a coefficient that is not finite")
    return Stored(edits, coefficient, unit, provenance)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadVector(
            f"{folder}: no {CONFIG}; expected the folder of a saved steering vector"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadVector(f"{folder / CONFIG}: cannot be read as JSON: {reason}") from error
    if not isinstance(config, dict) or config.get("format") not in range(1, FORMAT + 1):
        given = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise BadVector(
            f"{folder / CONFIG}: format {given!r}, expected {FORMAT}; update steergauge or save "
            "the vector anew"
        )
    return config


def _tensors(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        content = (folder / TENSORS).read_bytes()
        if hashlib.sha256(content).hexdigest() != config.get("tensors_sha256"):
            raise BadVector(
                f"{folder / TENSORS}: its sha256 is not the one in {CONFIG}; the file was changed "
                "or is of another vector, so save or download it anew"
            )
        return read_tensors(content)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise BadVector(f"{folder / TENSORS}: cannot be read: {reason}") from error


def _edit(item: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Edit:
    layer, head = item["layer"], item["head"]
    if not isinstance(layer, int) or not (head is None or isinstance(head, int)):
        raise BadVector(f"an edit at layer {layer!r}, head {head!r}; expected whole numbers")
    edit = Edit(
        site=item["site"],
        layer=layer,
        operation=item["operation"],
        tensor=tensors[item["tensor"]],
        positions=item["positions"],
        head=head,
        parameters={
            key: tensors[value] if isinstance(value, str) else float(value)
            for key, value in item.get("parameters", {}).items()
        },
    )
    edit.check()
    return edit


def compare_models(folder: Path, provenance: Mapping[str, Any], model: Any) -> None:
    """Warn where a vector was fitted on another model than the one it is about to steer."""
    fitted_on = provenance.get("base_config_sha256")
    config = model.config.to_json_string(use_diff=False)
    if fitted_on not in (None, hashlib.sha256(config.encode()).hexdigest()):
        warnings.warn(
            f"the vector in {folder} was fitted on "
            f"{provenance.get('base_model') or 'another model'}, whose configuration is not "
            "that of this model",
            stacklevel=4,
        )
