"""Steering vectors in the files of other projects, recognised by content.

| format | operation | site | layer | strength |
|---|---|---|---|---|
| native (a folder) | any | any | 0-based block | coefficient |
| lm_eval (`.pt`) | add, clamp | any module | module path | per module |
| gguf | add | block output | 0-based block from 1 | multiplied in |
| glp (`.gguf`) | add, project_out | block, attention, MLP | 0-based block from 1 | alpha |
| caa (a folder, or one `.pt`) | add | block output | 0-based block | multiplied in |
| persona (`.pt`) | add | block output | block + 1 | multiplied in |
| svec | add | block output | 0-based block | multiplied in |
| steering_vectors (`.pt`) | add | block, attention, MLP | 0-based block | multiplied in |

All but native edit all tokens. What a file does not say is listed in the vector's provenance under
`assumed`; what a format cannot say is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from steering import store
from steering.errors import BadVector
from steering.files import is_folder, parse_json, read_bounded
from steering.formats import (
    caa_folder,
    gguf,
    glp,
    lm_eval_pt,
    persona,
    steering_vectors,
    svec,
    torch_file,
)
from steering.formats.common import Found
from steering.sites import resolve
from steering.store import Stored, write_whole

NATIVE = "native"
FORMATS = (
    NATIVE, lm_eval_pt.NAME, gguf.NAME, glp.NAME, caa_folder.NAME, persona.NAME, svec.NAME,
    steering_vectors.NAME,
)  # fmt: skip
ENDINGS = {".gguf": gguf.NAME, ".svec": svec.NAME, "": NATIVE}
"""Formats that the name of a file to be written says alone."""


def load(
    path: Path, model: nn.Module | None = None, layers: tuple[int, ...] | None = None
) -> Stored:
    """Read a vector of any format.

    Args:
        path: A file or a folder.
        model: Says where the modules of an lm_eval file lie.
        layers: Keep these 0-based blocks only; None keeps all.

    Raises:
        BadVector: nothing that can be used, in one line.
    """
    if is_folder(path) and (path / store.CONFIG).exists():
        return _only(store.load(path), layers, path)
    name, found = _read(path, model, layers)
    facts = {"format": name, "assumed": list(found.assumed), **found.facts}
    return _only(Stored(found.edits, found.coefficient, "raw", facts), layers, path)


def _read(path: Path, model: nn.Module | None, layers: tuple[int, ...] | None) -> tuple[str, Found]:
    """The format of a foreign file and what it holds."""
    if is_folder(path):
        return caa_folder.NAME, caa_folder.read(path)
    content, name = read_bounded(path), str(path)
    if content.startswith(gguf.MAGIC):
        file = gguf.File(content, name)
        if glp.is_glp(file.metadata):
            return glp.NAME, glp.read(file)
        return gguf.NAME, gguf.read(file)
    if content.startswith(b"PK"):
        return _of_torch(torch_file.read(content, name), path, model, layers)
    if content.lstrip()[:1] == b"{":
        return svec.NAME, svec.read(parse_json(content, path), name)
    raise BadVector(
        f"{path}: not recognised by its content; expected a vector's folder, GGUF, a file of "
        "torch.save (1.6 or later) or the JSON of a .svec"
    )


def _of_torch(
    value: Any, path: Path, model: nn.Module | None, layers: tuple[int, ...] | None
) -> tuple[str, Found]:
    """Files of torch.save differ in what object they hold."""
    name = str(path)
    if isinstance(value, Tensor) and value.ndim == 1:
        return caa_folder.NAME, caa_folder.read_tensor(value, path, layers)
    if isinstance(value, Tensor):
        layers_of_model = resolve(model).n_layers if model is not None else None
        return persona.NAME, persona.read(value, name, layers_of_model)
    if isinstance(value, Mapping) and ("layer_activations" in value or
                                       torch_file.is_mapping(value, int)):  # fmt: skip
        return steering_vectors.NAME, steering_vectors.read(value, name)
    if torch_file.is_mapping(value, str):
        return lm_eval_pt.NAME, lm_eval_pt.read(value, name, model)
    raise BadVector(
        f"{name}: {type(value).__name__} from torch.save, expected a tensor (d) or (layers + 1, "
        "d), layer_activations, or steering vectors by module path"
    )


def _only(vector: Stored, layers: tuple[int, ...] | None, path: Path) -> Stored:
    """The edits of some layers."""
    if layers is None:
        return vector
    known = sorted({edit.layer for edit in vector.edits})
    missing = [layer for layer in layers if layer not in known]
    if missing or not layers:
        raise BadVector(f"{path}: no edit at layer {missing or 'none'}, it has {known}")
    edits = tuple(edit for edit in vector.edits if edit.layer in layers)
    return vector._replace(edits=edits)


def format_of(path: Path, to: str | None = None) -> str:
    """The format in which a file is written.

    Raises:
        BadVector: an unknown format, or a name that does not say which.
    """
    if to is not None and to not in FORMATS:
        raise BadVector(f"no format {to!r:.40}; expected one of {', '.join(FORMATS)}")
    name = to or ENDINGS.get(path.suffix)
    if name is None:
        raise BadVector(
            f"{path}: its ending does not say the format; name one of {', '.join(FORMATS)}"
        )
    return name


def save(vector: Stored, path: Path, to: str | None = None, model: nn.Module | None = None) -> Path:
    """Write a vector in any format.

    Args:
        vector: The vector.
        path: A file; a folder for native and caa.
        to: One of FORMATS; None goes by the ending.
        model: Whose modules an lm_eval file names; others take its type from it.

    Raises:
        BadVector: what the format cannot say.
        OSError: it cannot be written.
    """
    name = format_of(path, to)
    if name == NATIVE:
        return store.save(vector, path)
    if not vector.edits:
        raise BadVector(f"{name} cannot say a vector without edits")
    if name == caa_folder.NAME:
        caa_folder.write(vector, path, _model_name(vector))
        return path
    kind = _model_type(vector, model)
    if name == lm_eval_pt.NAME:
        content = lm_eval_pt.content(vector, model)
    elif name == persona.NAME:
        content = persona.content(vector, resolve(model).n_layers if model is not None else None)
    elif name == steering_vectors.NAME:
        content = steering_vectors.content(vector)
    else:
        content = {gguf.NAME: gguf, glp.NAME: glp, svec.NAME: svec}[name].content(vector, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole({path: content})
    return path


def _model_name(vector: Stored) -> str:
    """The last part of the base model's name, as far as it can stand in a file's name."""
    last = str(vector.provenance.get("base_model") or "model").rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last)[:80] or "model"


def _model_type(vector: Stored, model: nn.Module | None) -> str:
    """What the model's architecture is called."""
    config: Any = getattr(model, "config", None)
    said = getattr(config, "model_type", None)
    facts = vector.provenance
    return str(said or facts.get("model_hint") or facts.get("model_type") or "unknown")[:80]
