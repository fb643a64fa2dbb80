"""CAA's folders: one bare tensor (d) per file, `vec_layer_{L}_{model}.pt`, L a 0-based block.

CAA adds one layer's vector to the block's output after the end of the instruction; here all files
of a folder are edits of one vector, unless layers are named.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from steering.errors import BadVector
from steering.files import read_bounded
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
from steering.store import Stored, write_whole

NAME = "caa"
FILE = re.compile(r"vec_layer_(\d{1,4})_(.+)\.pt", re.ASCII)
MAX_FILES, MAX_BYTES = 4096, 2**20
TAKEN = (ADDED, f"{ALL_TOKENS} (CAA: those after the instruction)", "coefficient: 1")


def read(folder: Path) -> Found:
    """The edits of a folder.

    Raises:
        BadVector: no such files, those of two models, or one that is no vector.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, MAX_FILES))
    except OSError as error:
        raise BadVector(f"{folder}: cannot be read: {error.strerror}") from error
    matches = [match for name in names if (match := FILE.fullmatch(name))]
    models = sorted({match[2] for match in matches})
    if len(models) != 1:
        raise BadVector(
            f"{folder}: {'files of several models' if models else 'no steering vector'}; expected "
            "steering_config.json, or vec_layer_LAYER_MODEL.pt of one model"
        )
    found: dict[int, Tensor] = {}
    for match in matches:
        if int(match[1]) in found:
            raise BadVector(f"{folder}: two files of layer {int(match[1])}")
        file = folder / match[0]
        value = torch_file.read(read_bounded(file, MAX_BYTES), str(file))
        found[int(match[1])] = direction(value, str(file))
    same_width(found, str(folder))
    others = len(names) - len(matches)
    skipped = (f"{others} other files of the folder are not read",) if others else ()
    together = (f"{len(found)} layers edited together (CAA: one)",) if len(found) > 1 else ()
    return Found(added(found), 1.0, (*TAKEN, *together, *skipped), {"base_model": models[0]})


def read_tensor(tensor: Any, path: Path, layers: tuple[int, ...] | None) -> Found:
    """The edit of one file, whose name says its layer, or for which one layer is named.

    Raises:
        BadVector: neither says the layer.
    """
    match = FILE.fullmatch(path.name)
    if match is None and (layers is None or len(layers) != 1):
        raise BadVector(
            f"{path}: a bare tensor whose name does not say its layer (vec_layer_LAYER_MODEL.pt); "
            "name one layer"
        )
    layer = int(match[1]) if match else layers[0] if layers else 0
    return Found(added({layer: direction(tensor, str(path))}), 1.0, TAKEN)


def write(vector: Stored, folder: Path, model_name: str) -> None:
    """Write one file per layer.

    Raises:
        BadVector: what the format cannot say, or a folder that holds other vectors.
        OSError: it cannot be written.
    """
    _, tensors = by_layer(vector, NAME)
    contents = {
        f"vec_layer_{layer}_{model_name}.pt": torch_file.write(strong(tensor, vector.coefficient))
        for layer, tensor in tensors.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    other = sorted(p.name for p in folder.glob("vec_layer_*.pt") if p.name not in contents)
    if other:
        raise BadVector(f"{folder}: holds {other[0]} of another vector; give a new folder")
    write_whole({folder / name: content for name, content in contents.items()})
