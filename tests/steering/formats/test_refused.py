"""What a format cannot say, and files that are no vectors: one line, and little memory."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from steering import BadVector, SteeringVector
from tests.steering.formats.vectors import FOREIGN, WIDTH, vector


def refused(path: Path, **more: Any) -> str:
    with pytest.raises(BadVector) as caught:
        SteeringVector.load(path, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("to", FOREIGN)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"positions": "continuation"}, "cannot say positions 'continuation'"),
        ({"operation": "norm_preserving_add"}, "cannot say operation 'norm_preserving_add'"),
        ({"operation": "replace"}, "cannot say operation 'replace'"),
        ({"site": "head_output"}, "cannot say"),
    ],
)
def test_no_foreign_format_says_these(
    to: str, given: dict[str, Any], expected: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(BadVector, match=expected) as caught:
        vector(1, **given).save(tmp_path / FOREIGN[to], to, model)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("to", "made", "expected"),
    [
        ("gguf", vector(0, 1), "cannot say layer 0"),
        ("glp", vector(0, 1), "cannot say layer 0"),
        ("gguf", vector(1, operation="project_out"), "cannot say operation 'project_out'"),
        ("gguf", vector(1, site="mlp_output"), "cannot say site 'mlp_output'"),
        ("caa", vector(1, site="attn_output"), "cannot say site 'attn_output'"),
        ("glp", vector(1, operation="project_out", coefficient=-1.0), "negative coefficient"),
        ("persona", vector(1).stack(vector(1)), "two edits at layer 1"),
        ("steering_vectors", vector(1).stack(vector(2, site="mlp_output")), "the whole file"),
        ("lm_eval", vector(1, operation="clamp"), "at coefficient 1.7"),
        ("svec", vector(1, coefficient=3e38), "not finite"),
        ("lm_eval", vector(9), "layers 0 to 2"),
    ],
)
def test_what_one_format_cannot_say(
    to: str, made: SteeringVector, expected: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(BadVector, match=expected):
        made.save(tmp_path / FOREIGN[to], to, model)
    assert not list(tmp_path.iterdir())


def test_names_that_do_not_say_the_format(tmp_path: Path) -> None:
    with pytest.raises(BadVector, match="ending does not say the format"):
        vector(1).save(tmp_path / "v.pt")
    with pytest.raises(BadVector, match="no format 'ggml'"):
        vector(1).save(tmp_path / "v.bin", "ggml")
    with pytest.raises(BadVector, match="give the model"):
        vector(1).save(tmp_path / "v.pt", "lm_eval")


@pytest.mark.parametrize("place", ["file", "config", "tensors", "caa"])
@pytest.mark.parametrize("kind", ["fifo", "zero", "folder"])
def test_what_is_no_ordinary_file(place: str, kind: str, tmp_path: Path) -> None:
    names = {"file": "v.gguf", "config": "v/steering_config.json",
             "tensors": "v/steering_vector.safetensors", "caa": "v/vec_layer_1_m.pt"}  # fmt: skip
    path = tmp_path / names[place]
    if place == "caa":
        vector(1).save(tmp_path / "v", "caa")
        path = next((tmp_path / "v").iterdir())
    elif place != "file":
        vector(1).save_pretrained(tmp_path / "v")
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    refused(tmp_path / "v" if place != "file" else path)


@pytest.mark.parametrize("name", ["missing", "nul\0byte", "x" * 300])
def test_paths_without_a_file(name: str, tmp_path: Path) -> None:
    refused(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "v.gguf").open("wb") as file:
        file.write(b"GGUF")
        file.truncate(2**40)  # takes no room on the disk
    assert "expected at most" in refused(tmp_path / "v.gguf")


class Call:
    """Pickled as a call of whatever is given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.given = function, arguments

    def __reduce__(self) -> Any:
        return self.given


def torch_zip(pickled: bytes, compress: int = zipfile.ZIP_STORED, **records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        archive.writestr("v/data.pkl", pickled)
        for name, content in records.items():
            archive.writestr(f"v/data/{name.removeprefix('_')}", content)
    return buffer.getvalue()


def storage(count: int, shape: tuple[int, ...], strides: tuple[int, ...], kind: bytes) -> bytes:
    """The pickle of a tensor, by hand."""

    def integers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(pickle.dumps(v, 2)[2:-1] for v in values) + b"t"

    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage" + kind
        + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + pickle.dumps(count, 2)[2:-1] + b"tQK\x00"
        + integers(shape) + integers(strides) + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


FLOAT = b"ctorch\nFloatStorage\n"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "runs a command": lambda: torch_zip(pickle.dumps(Call(os.system, "true"), 2)),
    "allocates": lambda: torch_zip(pickle.dumps(Call(bytearray, 10**11), 2)),
    "tensor without end": lambda: torch_zip(storage(4, (10**12,), (0,), FLOAT), _0=b"\0" * 16),
    "outside of its record": lambda: torch_zip(storage(4, (4,), (2,), FLOAT), _0=b"\0" * 16),
    "count of another size": lambda: torch_zip(storage(9, (4,), (1,), FLOAT), _0=b"\0" * 16),
    "no record": lambda: torch_zip(storage(4, (4,), (1,), FLOAT)),
    "whole numbers": lambda: torch_zip(
        storage(2, (2,), (1,), b"ctorch\nLongStorage\n"), _0=b"\0" * 16
    ),
    "three axes": lambda: torch_zip(storage(4, (2, 2, 1), (2, 1, 1), FLOAT), _0=b"\0" * 16),
    "deflated": lambda: torch_zip(
        storage(4, (4,), (1,), FLOAT), zipfile.ZIP_DEFLATED, _0=b"\0" * 10**6
    ),
    "an old file": lambda: pickle.dumps({1: [2.0]}, 2),
    "no instructions": lambda: torch_zip(b""),
    "cut": lambda: torch_zip(storage(4, (4,), (1,), FLOAT), _0=b"\0" * 16)[:-30],
    "itself inside": lambda: torch_zip(b"\x80\x02}q\x00K\x01h\x00s."),
    "gguf of 2**60 tensors": lambda: b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
    "gguf of 2**60 texts": lambda: (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IIQ", 9, 8, 2**60)
    ),
    "gguf lists in lists": lambda: (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IIQ", 9, 9, 1) * 100
    ),
    "gguf, big-endian": lambda: b"GGUF" + struct.pack(">IQQ", 3, 1, 1),
    "gguf of a model": lambda: b"GGUF" + struct.pack("<IQQ", 3, 0, 0),
    "svec, deep": lambda: b'{"directions": ' + b"[" * 9_000,
    "svec, wide": lambda: b'{"directions": {"1": [' + b"0," * (2**20 + 1) + b"0]}}",
    "svec, NaN": lambda: b'{"directions": {"1": [NaN]}}',
    "svec, a large number": lambda: b'{"directions": {"1": [1' + b"0" * 400 + b"]}}",
    "svec, texts": lambda: b'{"directions": {"1": ["1.0"]}}',
    "svec, layers": lambda: b'{"directions": {"-1": [1.0]}}',
    "svec, counts": lambda: b'{"directions": {"1": [1.0], "2": [1.0, 2.0]}}',
    "nothing": lambda: b"",
    "text": lambda: b"a steering vector",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(HOSTILE[name]())
    refused(tmp_path / "v")


VECTOR = torch.ones(WIDTH)
OBJECTS: dict[str, Any] = {
    "NaN": {"layers.1": {"steering_vector": VECTOR * torch.nan, "action": "add"}},
    "two axes": {"layers.1": {"steering_vector": torch.ones(2, 2), "action": "add"}},
    "another action": {"layers.1": {"steering_vector": VECTOR, "action": "subtract"}},
    "bias and add": {"layers.1": {"steering_vector": VECTOR, "action": "add", "bias": VECTOR}},
    "a head": {"layers.1": {"steering_vector": VECTOR, "action": "add", "head_index": 1}},
    "another key": {"layers.1": {"steering_vector": VECTOR, "action": "add", "position": 1}},
    "no site": {"layers.1.input_layernorm": {"steering_vector": VECTOR, "action": "add"}},
    "1e39": {"h.1": {"steering_vector": VECTOR, "action": "add", "steering_coefficient": 1e39}},
    "10**400": {
        "h.1": {"steering_vector": VECTOR, "action": "add", "steering_coefficient": 10**400}
    },
    "clamp along zeros": {"layers.1": {"steering_vector": VECTOR * 0, "action": "clamp"}},
    "whole numbers": {1: torch.ones(4, dtype=torch.int64)},
    "float8": {1: torch.ones(4).to(torch.float8_e4m3fn)},
    "negative layer": {-1: VECTOR},
    "another layer type": {"layer_activations": {1: VECTOR}, "layer_type": "input_layernorm"},
    "no tensors": {"layer_activations": {1: [1.0]}, "layer_type": "mlp"},
    "two widths": {1: torch.ones(4), 2: torch.ones(5)},
    "persona of zeros": torch.zeros(4, WIDTH),
    "persona of one row": torch.ones(1, WIDTH),
    "infinity": torch.full((3, 4), torch.inf),
    "a list": [VECTOR],
    "a number": 5,
}  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_that_are_no_vector(name: str, known: bool, model: Any, tmp_path: Path) -> None:
    torch.save(OBJECTS[name], tmp_path / "v.pt")
    refused(tmp_path / "v.pt", model=model if known else None)


def test_folders_that_are_no_vector(tmp_path: Path) -> None:
    assert "no steering vector" in refused(tmp_path)
    for name in ("vec_layer_1_a.pt", "vec_layer_1_b.pt"):
        torch.save(VECTOR, tmp_path / name)
    assert "several models" in refused(tmp_path)
    (tmp_path / "vec_layer_1_b.pt").rename(tmp_path / "vec_layer_01_a.pt")
    assert "two files of layer 1" in refused(tmp_path)
