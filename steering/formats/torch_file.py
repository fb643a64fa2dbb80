"""Files of `torch.save` read as data: no pickle runs, and no size is believed.

Such a file is a zip of stored records: a pickle that describes the object, and one record of raw
numbers per storage. `torch.load(weights_only=True)` runs no foreign code either, but allocates
what the file names (`bytearray(10**10)`, a tensor of 10**12 elements, a record that inflates to
gigabytes). Here the pickle's opcodes are read as a list of instructions over plain data: mappings,
lists, tuples, texts, numbers, and tensors whose extent lies inside their record. Anything else,
every other callable included, is refused.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from steering.errors import BadVector
from steering.files import LIMIT

MAX_PICKLE, MAX_OPCODES, MAX_RECORDS = 2**20, 100_000, 10_000
STORAGES = {
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PLAIN = {
    "BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
}  # fmt: skip


class Name(NamedTuple):
    """Something that a pickle imports; here only its name."""

    text: str


class Storage(NamedTuple):
    """A record of numbers, not yet read."""

    dtype: torch.dtype
    key: str
    size: int


class _Malformed(Exception):
    """The file is not what torch.save writes of plain data."""


def read(content: bytes, name: str) -> Any:
    """The object of a file: mappings, lists, tuples, texts, numbers and tensors.

    Args:
        content: The whole file.
        name: Of the file, for messages.

    Raises:
        BadVector: anything but such data.
    """
    try:
        return _Reader(content).value()
    except _Malformed as error:
        raise BadVector(f"{name}: {error}; save plain tensors with torch.save") from error
    except Exception as error:  # whatever zipfile and pickletools raise on a damaged file
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadVector(f"{name}: not a file of torch.save: {reason}") from error


def write(value: Any) -> bytes:
    """The bytes of `torch.save`."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class _Reader:
    """One file's records, and the instructions of its pickle."""

    def __init__(self, content: bytes) -> None:
        if content.count(b"PK\x01\x02") > MAX_RECORDS:
            raise _Malformed(f"more than {MAX_RECORDS} records")
        self.zip = zipfile.ZipFile(io.BytesIO(content))
        self.records = {info.filename: info for info in self.zip.infolist()}
        described = [name for name in self.records if name.endswith("data.pkl")]
        if len(described) != 1:
            raise _Malformed(f"{len(described)} records named data.pkl, expected one")
        self.prefix = described[0].removesuffix("data.pkl")
        if bytes(self.record(f"{self.prefix}byteorder", 16, b"little")) != b"little":
            raise _Malformed("its numbers are not little-endian")
        self.tensor_bytes = self.record_bytes = LIMIT  # still allowed
        self.storages: dict[str, Tensor] = {}
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def record(self, name: str, limit: int, default: bytes | None = None) -> bytearray:
        """A stored record; a deflated one could be of any size."""
        info = self.records.get(name)
        if info is None and default is not None:
            return bytearray(default)
        if info is None:
            raise _Malformed(f"no record {name[:60]!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise _Malformed(f"record {name[:60]!r} is compressed")
        if info.file_size > limit:
            raise _Malformed(f"record {name[:60]!r} has {info.file_size} bytes, at most {limit}")
        with self.zip.open(info) as file:
            found = file.read(info.file_size + 1)
        if len(found) != info.file_size:
            raise _Malformed(f"record {name[:60]!r} ends early")
        return bytearray(found)

    def value(self) -> Any:
        """Follow the instructions."""
        described = bytes(self.record(f"{self.prefix}data.pkl", MAX_PICKLE))
        for step, (opcode, argument, _) in enumerate(pickletools.genops(described)):
            if step > MAX_OPCODES:
                raise _Malformed(f"more than {MAX_OPCODES} instructions")
            if opcode.name == "STOP":
                if len(self.stack) != 1 or isinstance(self.stack[0], Name | Storage):
                    raise _Malformed("its object is no data")
                return self.stack[0]
            self.follow(opcode.name, argument)
        raise _Malformed("its description does not end")

    def follow(self, opcode: str, argument: Any) -> None:
        """One instruction."""
        stack = self.stack
        if opcode in ("PROTO", "FRAME"):
            return
        if opcode in CONSTANTS:
            stack.append(CONSTANTS[opcode])
        elif opcode in PLAIN:
            stack.append(argument)
        elif opcode == "EMPTY_DICT":
            stack.append({})
        elif opcode == "EMPTY_LIST":
            stack.append([])
        elif opcode == "MARK":
            self.marks.append(len(stack))
        elif opcode in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif opcode in TUPLES:
            self.pack(TUPLES[opcode])
        elif opcode == "TUPLE":
            stack.append(tuple(self.marked()))
        elif opcode in ("SETITEM", "SETITEMS"):
            items = self.taken(2) if opcode == "SETITEM" else self.marked()
            self.top(dict).update(zip(map(_key, items[::2]), items[1::2], strict=True))
        elif opcode in ("APPEND", "APPENDS"):
            items = self.taken(1) if opcode == "APPEND" else self.marked()
            self.top(list).extend(items)
        elif opcode == "GLOBAL":
            stack.append(Name(argument))
        elif opcode == "STACK_GLOBAL":
            module, name = self.taken(2)
            stack.append(Name(f"{module} {name}"))
        elif opcode == "BINPERSID":
            stack.append(_storage(*self.taken(1)))
        elif opcode == "REDUCE":
            stack.append(self.called(*self.taken(2)))
        else:
            raise _Malformed(f"an instruction {opcode} that plain tensors do not need")

    def taken(self, count: int) -> list[Any]:
        """The topmost objects, which leave the stack."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise _Malformed("an instruction without its operands")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def pack(self, count: int) -> None:
        """Put the topmost objects into a tuple."""
        self.stack.append(tuple(self.taken(count)))

    def marked(self) -> list[Any]:
        """The objects above the last mark, which leave the stack with it."""
        place = self.marks.pop()
        found = self.stack[place:]
        del self.stack[place:]
        return found

    def top(self, kind: type) -> Any:
        """The topmost object, of the type that an instruction fills."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise _Malformed(f"items for {type(self.stack[-1]).__name__ if self.stack else None}")
        return self.stack[-1]

    def called(self, function: Any, arguments: Any) -> Any:
        """What the few callables that torch.save writes of plain tensors would give."""
        text = function.text if isinstance(function, Name) else type(function).__name__
        if text == "collections OrderedDict" and arguments == ():
            return {}
        if text == "torch._utils _rebuild_tensor_v2" and isinstance(arguments, tuple):
            return self.tensor(*arguments[:4])
        wraps = text == "torch._utils _rebuild_parameter" and isinstance(arguments, tuple)
        if wraps and isinstance(arguments[0], Tensor):
            return arguments[0]
        raise _Malformed(f"it would call {text[:80]!r}, and what a file names is not called here")

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
        """A copy of a part of a record."""
        whole = isinstance(storage, Storage) and _integers((offset,))
        if not whole or not _integers(shape) or not _integers(strides) or len(shape) > 2:
            raise _Malformed("a tensor that is none, or has more than two axes")
        if len(strides) != len(shape):
            raise _Malformed("a tensor of shape and strides that do not match")
        count = math.prod(shape)
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if count < 1 or count > storage.size or last >= storage.size:
            raise _Malformed(f"a tensor of {count} numbers in a record of {storage.size}")
        self.tensor_bytes -= count * storage.dtype.itemsize
        if self.tensor_bytes < 0:
            raise _Malformed(f"more than {LIMIT} bytes of tensors")
        return self.numbers(storage).as_strided(shape, strides, offset).clone()

    def numbers(self, storage: Storage) -> Tensor:
        """All numbers of a record."""
        name = f"{self.prefix}data/{storage.key}"
        if name not in self.storages:
            raw = self.record(name, self.record_bytes)
            self.record_bytes -= len(raw)
            if len(raw) != storage.size * storage.dtype.itemsize:
                raise _Malformed(f"{len(raw)} bytes for {storage.size} of {storage.dtype}")
            self.storages[name] = torch.frombuffer(raw, dtype=torch.uint8)
        return self.storages[name].view(storage.dtype)


def _storage(identifier: Any) -> Storage:
    if isinstance(identifier, tuple) and len(identifier) == 5:
        kind, name, key, _, count = identifier
        dtype = STORAGES.get(name.text) if isinstance(name, Name) else None
        if dtype is None and isinstance(name, Name):
            raise _Malformed(f"numbers of {name.text[:40]!r}, expected {', '.join(STORAGES)}")
        if dtype and kind == "storage" and isinstance(key, str) and _integers((count,)):
            return Storage(dtype, key, count)
    raise _Malformed("a reference that is no storage")


def _integers(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(n) is int and 0 <= n < 2**40 for n in values)


def _key(key: Any) -> Any:
    if type(key) not in (str, int):
        raise _Malformed(f"a mapping with a key of type {type(key).__name__}")
    return key


def is_mapping(value: Any, kind: type) -> bool:
    """Whether a value is a mapping, not empty, whose keys are all of a type."""
    return isinstance(value, Mapping) and bool(value) and all(type(key) is kind for key in value)
