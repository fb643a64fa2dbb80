"""Steering vectors on disk: JSON for what they are, safetensors for the numbers, a card to read.

A folder holds `steering_config.json`, `steering_vector.safetensors` and `README.md`. Nothing is
pickled. A folder may come from anywhere, so that everything in it is checked before it is used:
sizes and types before memory is taken, and both files by their sha256, so that a flipped bit is
an error and never another vector.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from steering.conventions import lines as lines_of
from steering.edit import Edit
from steering.errors import BadVector
from steering.files import is_folder, number, parse_json, read_bounded, whole
from steering.operations import Parameter

FORMAT = 2
"""1 knew no parameters; its folders are read as well."""
CONFIG, TENSORS, CARD = "steering_config.json", "steering_vector.safetensors", "README.md"
KEYS = {
    "format", "coefficient", "unit", "edits", "layer_base", "tensors_sha256", "config_sha256",
    "provenance",
}  # fmt: skip
EDIT_KEYS = {"tensor", "site", "layer", "operation", "positions", "head", "parameters"}
MAX_CONFIG, MAX_HEADER, MAX_TENSORS = 2**20, 2**20, 48 * 2**20
ITEM_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


class Stored(NamedTuple):
    """What a folder holds of a steering vector (`steering.vector.SteeringVector`)."""

    edits: tuple[Edit, ...]
    coefficient: float
    unit: str
    provenance: Mapping[str, Any]


def save(vector: Stored, folder: Path) -> Path:
    """Write a vector; each file appears whole or not at all, the config last.

    Raises:
        BadVector: an edit that no model could take, or more than can be read back.
        OSError: The folder cannot be written.
    """
    check(vector)
    tensors: dict[str, Tensor] = {}
    for i, edit in enumerate(vector.edits):
        own = {f"edit_{i}": edit.tensor, **_named(f"edit_{i}", edit.parameters)}
        tensors |= {name: tensor.detach().cpu().clone() for name, tensor in own.items()}
    content = tensor_bytes(tensors)
    if len(content) > MAX_TENSORS:
        raise BadVector(f"{len(content)} bytes of tensors, expected at most {MAX_TENSORS}")
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
    config["config_sha256"] = _digest(config)
    text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    card = _card(vector).encode()
    write_whole({folder / TENSORS: content, folder / CARD: card, folder / CONFIG: text.encode()})
    return folder


def check(vector: Stored) -> None:
    """Refuse a vector that no folder could hold.

    Raises:
        BadVector: an edit that no model could take, a coefficient that is no finite number, or
            provenance that is no JSON.
    """
    if not vector.edits:
        raise BadVector("a vector without an edit; expected at least one")
    number(vector.coefficient, "the coefficient")
    for edit in vector.edits:
        edit.check()
    try:
        json.dumps(dict(vector.provenance), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise BadVector(f"the provenance is no JSON: {said:.200}; give plain values") from error


def _named(prefix: str, parameters: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """The tensors among parameters by their names in the file."""
    found = parameters.items()
    return {f"{prefix}.{key}": value for key, value in found if isinstance(value, Tensor)}


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: each appears whole, and none before all have found room.

    Raises:
        OSError: one cannot be written; it is named, and what was there before stays.
    """
    # The form of a name by which `reports.files.abandoned` knows what killed processes left.
    host = socket.gethostname().replace(".", "-")[:40]
    mark = f"{host}.{os.getpid()}.{secrets.token_hex(4)}.part"
    parts = {path: path.with_name(f".{path.name}.{mark}") for path in contents}
    try:
        for path, content in contents.items():
            _fill(parts[path], content, path)
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _fill(part: Path, content: bytes, path: Path) -> None:
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from problem


def _digest(config: Mapping[str, Any]) -> str:
    """The sha256 of everything else in a config, as canonical JSON of what a reader gets."""
    rest = {key: value for key, value in config.items() if key != "config_sha256"}
    text = json.dumps(json.loads(json.dumps(rest)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _card(vector: Stored) -> str:
    facts = vector.provenance
    conventions = facts.get("conventions")
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
        *lines_of(conventions if isinstance(conventions, dict) else {}),
        *(f"- not in the file it came from: {text}" for text in _texts(facts.get("assumed"))),
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


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def load(folder: Path) -> Stored:
    """Read a vector.

    Raises:
        BadVector: The folder holds no vector that can be used.
    """
    if not is_folder(folder) or not (folder / CONFIG).exists():
        raise BadVector(f"{folder}: no {CONFIG}; expected the folder of a saved steering vector")
    place = folder / CONFIG
    config = _config(place)
    tensors = _tensors(folder / TENSORS, config["tensors_sha256"])
    items, unit, provenance = config["edits"], config["unit"], config["provenance"]
    if not isinstance(items, list) or not items:
        raise BadVector(f"{place}: edits: expected a list of at least one; save it anew")
    if not isinstance(unit, str) or not isinstance(provenance, dict):
        raise BadVector(f"{place}: unit or provenance of another type; save it anew")
    coefficient = number(config["coefficient"], f"{place}: coefficient")
    edits = tuple(_edit(item, tensors, place) for item in items)
    named = {name for item in items for name in (item["tensor"], *_named_in(item))}
    if len(named) != len(tensors):
        raise BadVector(f"{place}: {len(named)} tensors named, {len(tensors)} saved; save it anew")
    return Stored(edits, coefficient, unit, provenance)


def _config(place: Path) -> dict[str, Any]:
    config = parse_json(read_bounded(place, MAX_CONFIG), place)
    if not isinstance(config, dict) or config.get("format") not in (1, FORMAT):
        given = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise BadVector(
            f"{place}: format {given!r:.40}, expected {FORMAT}; update steergauge or save "
            "the vector anew"
        )
    _require_keys(config, KEYS - {"config_sha256"}, KEYS, place)
    if config.get("config_sha256", "") not in ("", _digest(config)):
        raise BadVector(
            f"{place}: its sha256 is not the one in it; the file was changed after it was saved, "
            "so save or download it anew"
        )
    if config["layer_base"] != 0:
        raise BadVector(f"{place}: layer_base {config['layer_base']!r:.40}, expected 0")
    return config


def _require_keys(given: Any, needed: set[str], known: set[str], place: Path) -> None:
    """Raise BadVector for an object that lacks a key or has one that would be passed over."""
    if not isinstance(given, dict):
        raise BadVector(f"{place}: {type(given).__name__} where an object belongs; save it anew")
    missing, odd = sorted(needed - set(given)), sorted(set(given) - known)
    if missing or odd:
        wrong = f"misses {', '.join(missing)}" if missing else f"has an unknown key {odd[0]!r:.40}"
        raise BadVector(f"{place}: {wrong}; save it anew")


def _tensors(place: Path, digest: Any) -> dict[str, Tensor]:
    content = read_bounded(place, MAX_TENSORS)
    if hashlib.sha256(content).hexdigest() != digest:
        raise BadVector(
            f"{place}: its sha256 is not the one in {CONFIG}; the file was changed "
            "or is of another vector, so save or download it anew"
        )
    _check_header(content, place)
    try:
        return read_tensors(content)
    except SafetensorError as error:
        reason = " ".join(str(error).split())
        raise BadVector(f"{place}: cannot be read: {reason}") from error


def _check_header(content: bytes, place: Path) -> None:
    """Raise BadVector where a safetensors header says what its bytes do not hold."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(MAX_HEADER, len(content) - 8):
        raise BadVector(f"{place}: cannot be read: a header of {size} bytes in {len(content)}")
    header: Any = parse_json(content[8 : 8 + size], place)
    body = len(content) - 8 - size
    for name, facts in header.items() if isinstance(header, dict) else [("header", None)]:
        if name == "__metadata__":
            continue
        said: dict[str, Any] = facts if isinstance(facts, dict) else {}
        kind, shape, span = (said.get(key) for key in ("dtype", "shape", "data_offsets"))
        item = ITEM_SIZES.get(kind) if isinstance(kind, str) else None
        if item is None:
            raise BadVector(
                f"{place}: tensor {name!r:.40} has dtype {kind!r:.40}, expected one of "
                f"{', '.join(ITEM_SIZES)}"
            )
        start, end = span if _integers(span) and len(span) == 2 else (1, 0)
        sizes = shape if _integers(shape) else []
        if not start < end <= body or math.prod(sizes) * item != end - start:
            raise BadVector(
                f"{place}: tensor {name!r:.40} of shape {shape!r:.40} is not what its bytes hold"
            )


def _integers(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values
    )


def _edit(item: Any, tensors: Mapping[str, Tensor], place: Path) -> Edit:
    _require_keys(item, EDIT_KEYS - {"parameters"}, EDIT_KEYS, place)
    layer = whole(item["layer"], f"{place}: layer")
    head = None if item["head"] is None else whole(item["head"], f"{place}: head")
    given = item.get("parameters", {})
    if not isinstance(given, dict):
        raise BadVector(f"{place}: parameters: {type(given).__name__}, expected an object")
    parameters = {
        name: _tensor(value, tensors, place) if isinstance(value, str)
        else number(value, f"{place}: parameter {name!r:.40}")
        for name, value in given.items()
    }  # fmt: skip
    tensor = _tensor(item["tensor"], tensors, place)
    edit = Edit(item["site"], layer, item["operation"], tensor, item["positions"], head, parameters)
    edit.check()
    return edit


def _tensor(name: Any, tensors: Mapping[str, Tensor], place: Path) -> Tensor:
    tensor = tensors.get(name) if isinstance(name, str) else None
    if tensor is None:
        raise BadVector(f"{place}: no tensor {name!r:.40}; save it anew")
    return tensor


def _named_in(item: Mapping[str, Any]) -> list[str]:
    """Tensors that an edit's parameters name."""
    return [value for value in item.get("parameters", {}).values() if isinstance(value, str)]


def compare_models(folder: Path, provenance: Mapping[str, Any], model: Any) -> None:
    """Warn where a vector was fitted on another model than the one it is about to steer."""
    fitted_on = provenance.get("base_config_sha256")
    config = model.config.to_json_string(use_diff=False)
    if fitted_on not in (None, hashlib.sha256(config.encode()).hexdigest()):
        warnings.warn(
            f"the vector in {folder} was fitted on "
            f"{provenance.get('base_model') or 'another model'}, whose configuration is not "
            "that of this model",
            stacklevel=5,
        )
