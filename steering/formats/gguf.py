"""GGUF files of control vectors: `direction.N`, float32, added to the OUTPUT of 0-based block N.

That is llama.cpp's reading: its loader refuses `direction.0` (so that layer 0 cannot be said), and
its sign is a plus. Written by repeng and EasySteer too. There is no strength: it is multiplied in.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steering.errors import BadVector
from steering.files import LIMIT
from steering.formats.common import ADDED, ALL_TOKENS, Found, added, by_layer, direction, strong
from steering.formats.common import same_width as require_same_width
from steering.store import Stored

NAME = "gguf"
MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
ARCHITECTURE = "controlvector"
KINDS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 10: "<Q", 11: "<q",
         12: "<d"}  # fmt: skip
BOOL, TEXT, LIST, FLOAT32 = 7, 8, 9, 0
OTHERS = {0: "float32", 1: "float16", 28: "float64", 30: "bfloat16"}
"""Kinds of numbers that have a name everybody knows; the others are quantised or whole."""

MAX_ENTRIES, MAX_ITEMS, MAX_TEXT = 4096, 2**16, 2**16
TENSOR = re.compile(r"direction\.(\d{1,4})", re.ASCII)


class File:
    """A GGUF file: its metadata, and where its tensors lie.

    Raises:
        BadVector: anything that is not a little-endian GGUF of version 2 or 3 within its bounds.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content, self.name, self.place = content, name, 4
        version, tensors, entries = self.number("<I"), self.number("<Q"), self.number("<Q")
        if content[:4] != MAGIC or version not in (2, 3):
            raise BadVector(f"{name}: not a little-endian GGUF of version 2 or 3")
        if tensors > MAX_ENTRIES or entries > MAX_ENTRIES:
            raise BadVector(f"{name}: {tensors} tensors and {entries} entries; not a vector")
        self.items = 0
        self.metadata = {self.text(): self.value(self.number("<I")) for _ in range(entries)}
        infos = [self._info() for _ in range(tensors)]
        alignment = self.metadata.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment not in (8, 16, 32, 64, 128, 256):
            raise BadVector(f"{name}: general.alignment {alignment!r:.40}, expected 8 to 256")
        start = -(-self.place // alignment) * alignment
        self.left = LIMIT
        self.tensors = {
            key: self._tensor(start, shape, kind, offset) for key, shape, kind, offset in infos
        }
        if len(self.tensors) != len(infos) or len(self.metadata) != entries:
            raise BadVector(f"{name}: two tensors or two entries of one name")

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.content) - self.place:
            raise BadVector(f"{self.name}: ends early, {count} bytes expected at {self.place}")
        self.place += count
        return self.content[self.place - count : self.place]

    def number(self, kind: str) -> Any:
        """The next number."""
        return struct.unpack(kind, self.bytes(struct.calcsize(kind)))[0]

    def text(self) -> str:
        """The next text."""
        length = self.number("<Q")
        if length > MAX_TEXT:
            raise BadVector(f"{self.name}: a text of {length} bytes, at most {MAX_TEXT}")
        return self.bytes(length).decode("utf-8", "replace")

    def value(self, kind: int, *, inner: bool = False) -> Any:
        """The next value of the metadata."""
        if kind in KINDS:
            return self.number(KINDS[kind])
        if kind == BOOL:
            return self.number("<B") != 0
        if kind == TEXT:
            return self.text()
        if kind != LIST or inner:
            raise BadVector(f"{self.name}: metadata of kind {kind}, expected 0 to 12, lists flat")
        of, count = self.number("<I"), self.number("<Q")
        self.items += count
        if self.items > MAX_ITEMS:
            raise BadVector(f"{self.name}: lists of {self.items} items, at most {MAX_ITEMS}")
        return [self.value(of, inner=True) for _ in range(count)]

    def _info(self) -> tuple[str, list[int], int, int]:
        name, axes = self.text(), self.number("<I")
        if axes > 4:
            raise BadVector(f"{self.name}: a tensor of {axes} axes")
        shape = [self.number("<Q") for _ in range(axes)]
        return name, shape, self.number("<I"), self.number("<Q")

    def _tensor(self, start: int, shape: list[int], kind: int, offset: int) -> Tensor:
        if kind != FLOAT32 or len(shape) != 1:
            held = OTHERS.get(kind, f"numbers of kind {kind}")
            raise BadVector(
                f"{self.name}: a tensor of {held} and {len(shape)} axes, expected float32 and one "
                "axis, as llama.cpp does"
            )
        end = start + offset + 4 * shape[0]
        self.left -= 4 * shape[0]
        if shape[0] < 1 or self.left < 0 or end > len(self.content):
            raise BadVector(f"{self.name}: a tensor of {shape[0]} numbers outside of the file")
        return torch.frombuffer(
            bytearray(self.content[end - 4 * shape[0] : end]), dtype=torch.float32
        )


def directions(file: File) -> dict[int, Tensor]:
    """The direction of each block.

    Raises:
        BadVector: another architecture, another tensor, or layer 0.
    """
    architecture = file.metadata.get("general.architecture")
    if architecture != ARCHITECTURE:
        raise BadVector(
            f"{file.name}: architecture {architecture!r:.40}, expected {ARCHITECTURE!r}; a "
            "model's weights are no steering vector"
        )
    found: dict[int, Tensor] = {}
    for name, tensor in file.tensors.items():
        match = TENSOR.fullmatch(name)
        if match is None or int(match[1]) in found or int(match[1]) == 0:
            why = "; layer 0 cannot be said in this format" if match else ""
            raise BadVector(f"{file.name}: a tensor {name!r:.40}, expected direction.N from 1{why}")
        found[int(match[1])] = direction(tensor, f"{file.name}: {name}")
    require_same_width(found, file.name)
    return found


def read(file: File) -> Found:
    """The edits of a plain control vector."""
    hint = file.metadata.get("controlvector.model_hint")
    facts = {"model_hint": hint} if isinstance(hint, str) else {}
    return Found(added(directions(file)), 1.0, (ADDED, ALL_TOKENS, "coefficient: 1"), facts)


def content(vector: Stored, model_type: str) -> bytes:
    """The file of a vector that adds to block outputs at all tokens.

    Raises:
        BadVector: what llama.cpp cannot do.
    """
    _, tensors = by_layer(vector, NAME)
    tensors = {layer: strong(tensor, vector.coefficient) for layer, tensor in tensors.items()}
    return pack(metadata(tensors, model_type), tensors)


def metadata(tensors: Mapping[int, Tensor], model_type: str) -> dict[str, Any]:
    """What every control vector says about itself.

    Raises:
        BadVector: layer 0.
    """
    if 0 in tensors:
        raise BadVector("gguf cannot say layer 0 (llama.cpp refuses it); write it as native")
    return {
        "general.architecture": ARCHITECTURE,
        "controlvector.model_hint": model_type,
        "controlvector.layer_count": len(tensors),
    }


def pack(metadata: Mapping[str, Any], tensors: Mapping[int, Tensor]) -> bytes:
    """A GGUF file of texts, whole numbers (uint32), numbers (float32) and directions (float32)."""
    head = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        head.append(_text(key))
        if isinstance(value, str):
            head.append(struct.pack("<I", TEXT) + _text(value))
        else:
            kind = 4 if isinstance(value, int) else 6
            head.append(struct.pack("<I", kind) + struct.pack(KINDS[kind], value))
    body = bytearray()
    for layer, tensor in tensors.items():
        head.append(_text(f"direction.{layer}"))
        head.append(struct.pack("<IQIQ", 1, len(tensor), FLOAT32, len(body)))
        raw = tensor.float().contiguous().numpy().astype("<f4").tobytes()
        body += raw + b"\0" * (-len(raw) % ALIGNMENT)
    start = b"".join(head)
    return start + b"\0" * (-len(start) % ALIGNMENT) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
