"""Mutations of every kind of file: BadVector or a sound vector, never anything else.

`python -m tests.steering.formats.test_fuzz CASES` runs so many of every kind and says how they end.
"""

from __future__ import annotations

import io
import json
import math
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from steering import BadVector, Edit, SteeringVector
from tests.harness.zoo import made
from tests.steering.formats.vectors import FOREIGN, vector

KINDS = (*FOREIGN, "native")
WORDS = (
    b"\0" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"NaN", b"-1", b"1e39", b"1" + b"0" * 400,
    b"[" * 50, b"null", b"true", b'"F8_E4M3"', b'"F4"', b'"I64"', b"{}", b"\x80\x04", b"R", b"Q",
    b"0.", b"(", b"t", b"h\x00", b"cos\nsystem\n", b"cbuiltins\nbytearray\n",
    b"ctorch\nLongStorage\n", b"PK\x01\x02", b"GGUF", b"direction.0", b"glp.mode",
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory.mktemp("whole"))


def written(folder: Path) -> dict[str, Path]:
    """A sound file of every kind."""
    model = made("llama")
    found = {to: vector(1, 2).save(folder / name, to, model) for to, name in FOREIGN.items()}
    found["native"] = SteeringVector(parametrised()).save_pretrained(folder / "native")
    entry = {"steering_vector": torch.ones(4), "steering_coefficient": 2.0, "bias": torch.ones(4)}
    torch.save({"h.1": {**entry, "action": "clamp"}}, found["lm_eval"])
    return found


def parametrised() -> tuple[Edit, ...]:
    """Edits with everything that a folder can hold."""
    wide = {name: torch.ones(4) for name in ("centre", "slope", "low", "high")}
    plane, code = torch.eye(4)[:2], {"keys": torch.eye(4)[:1], "borders": torch.zeros(1)}
    return (
        *vector(0, 2).edits,
        Edit("mlp_output", 1, "transport", torch.ones(4), "prompt", parameters=wide),
        Edit("head_output", 1, "add", torch.ones(2), "prompt[0]", head=1),
        Edit("block_output", 1, "turn_in_plane", plane, parameters={"angle": 90.0, "adaptive": 1}),
        Edit("block_output", 2, "replace_by_code", plane, parameters=code),
    )


def mutated(content: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """Bytes flipped, cut out, repeated, or replaced by words that readers know."""
    data = bytearray(content)
    for kind, place, what in edits:
        at = place % max(1, len(data))
        if kind == "flip" and data:
            data[at] ^= 1 << what % 8
        elif kind == "set" and data:
            data[at] = what % 256
        elif kind == "cut":
            del data[at : at + what % 64]
        elif kind == "repeat":
            data[at:at] = data[at : at + what % 64]
        elif kind == "word":
            word = WORDS[what % len(WORDS)]
            data[at : at + len(word)] = word
        elif kind == "insert":
            data[at:at] = WORDS[what % len(WORDS)]
        else:
            del data[at:]
    return bytes(data)


def repacked(content: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """A torch file whose description is mutated and whose checksums are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            record = old.read(name)
            new.writestr(name, mutated(record, edits) if name.endswith(".pkl") else record)
    return buffer.getvalue()


ACTIONS = ("flip", "set", "cut", "repeat", "word", "insert", "end")
EDITS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2**12), st.integers(0, 255)),
    min_size=1, max_size=6,
)  # fmt: skip


def attempt(whole: Path, place: Path, name: int, edits: list[tuple[str, int, int]]) -> str:
    """How reading one mutation ends."""
    if whole.is_dir():
        names = sorted(file.name for file in whole.iterdir())
        place.mkdir(exist_ok=True)
        for file in names:
            (place / file).write_bytes((whole / file).read_bytes())
        chosen = whole / names[name % len(names)]
        (place / chosen.name).write_bytes(mutated(chosen.read_bytes(), edits))
        if chosen.suffix == ".safetensors" and name % 3:  # as if its author meant it
            config = json.loads((place / "steering_config.json").read_text())
            config["tensors_sha256"] = sha256((place / chosen.name).read_bytes()).hexdigest()
            (place / "steering_config.json").write_text(json.dumps({**config, "config_sha256": ""}))
    else:
        content = whole.read_bytes()
        described = whole.suffix == ".pt" and name % 3
        place.write_bytes(repacked(content, edits) if described else mutated(content, edits))
    return ended(place)


def ended(place: Path) -> str:
    """Whether a path is refused, in one line, or holds a sound vector."""
    try:
        found = SteeringVector.load(place)
    except BadVector as error:
        message = str(error)
        if "\n" in message or len(message) > 800:
            raise ValueError(f"not one line: {message}") from error
        return "refused"
    assert math.isfinite(found.coefficient)
    for edit in found.edits:
        assert isinstance(edit, Edit)
        edit.check()
    return "read"


@pytest.mark.parametrize("kind", KINDS)
@seed(0)
@settings(
    max_examples=150, deadline=2000, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(name=st.integers(0, 20), edits=EDITS)
def test_every_reader(
    kind: str, name: int, edits: list[tuple[str, int, int]], files: dict[str, Path], tmp_path: Path
) -> None:
    attempt(files[kind], tmp_path / files[kind].name, name, edits)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**400) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@seed(0)
@settings(max_examples=300, deadline=2000, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(key=st.sampled_from(
    ["format", "coefficient", "unit", "edits", "layer_base", "tensors_sha256", "provenance", "more",
     "tensor", "site", "layer", "operation", "positions", "head",
     "parameters"]), value=JSON)  # fmt: skip
def test_any_value_anywhere_in_a_config(
    key: str, value: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    place = tmp_path / "v"
    place.mkdir(exist_ok=True)
    for file in files["native"].iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    config = {**json.loads((place / "steering_config.json").read_text()), "config_sha256": ""}
    inside = key in config["edits"][0]
    (config["edits"][0] if inside else config)[key] = value
    (place / "steering_config.json").write_text(json.dumps(config))
    ended(place)
    value = {"directions": value if isinstance(value, dict) else {"1": value}}
    (tmp_path / "v.svec").write_text(json.dumps(value))
    ended(tmp_path / "v.svec")


def main(cases: int) -> None:
    """So many mutations of every kind, each under a bound of memory: it may grow by 100 MB."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        attempt(files["lm_eval"], Path(folder) / "first", 0, [])
        for kind in KINDS:
            print(f"{kind}: {long(kind, files[kind], Path(folder) / f'try-{kind}', cases)}")


def long(kind: str, whole: Path, place: Path, cases: int) -> str:
    """How so many mutations of one kind end, in one line."""
    draw, ends, slowest = random.Random(kind), Counter[str](), 0.0
    before = resident()
    bound = address_space() + 100 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))
    for _ in range(cases):
        edits = [
            (draw.choice(ACTIONS), draw.randrange(2**16), draw.randrange(256))
            for _ in range(draw.randrange(1, 7))
        ]
        started = time.perf_counter()
        ends[attempt(whole, place, draw.randrange(20), edits)] += 1
        slowest = max(slowest, time.perf_counter() - started)
    grown = (resident() - before) / 2**20
    return f"{cases} cases, {dict(ends)}, slowest {slowest:.3f} s, {grown:.1f} MB more at the most"


def address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def resident() -> int:
    """Bytes that this process has held at the most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(int(sys.argv[1]))
