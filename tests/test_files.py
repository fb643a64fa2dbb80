"""The bounded readers of reports and task_defs: what a hostile disk brings is one line, at once."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import reports.files
import task_defs.files
import task_defs.yaml_files

Reader = Callable[[Path], Any]

READERS: dict[str, tuple[Reader, type[ValueError]]] = {
    "reports": (
        lambda path: reports.files.load(path, TypeAdapter(Any), limit=2**20),
        reports.files.BadFile,
    ),
    "task_defs": (
        lambda path: list(
            task_defs.files.json_values(task_defs.files.read_text(path, limit=2**20))
        ),
        task_defs.files.Unreadable,
    ),
    "yaml": (task_defs.yaml_files.read_yaml, task_defs.files.Unreadable),
}
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


def refused(reader: str, path: Path) -> str:
    """What is said of a file, at once and within 100 MB."""
    read, mistake = READERS[reader]
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(mistake) as raised:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 5
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_ordinary_file(reader: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    sparse = tmp_path / "large"
    sparse.touch()
    os.truncate(sparse, 2**33)
    said = {
        name: refused(reader, tmp_path / name)
        for name in ("pipe", "zeros", "loop", "large", "none", "zero\0byte", ".")
    }
    assert "not an ordinary file" in said["pipe"]
    assert "not an ordinary file" in said["zeros"]
    assert "expected at most" in said["large"]
    assert "o such file" in said["none"]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe\x00", b'"\xc3', b"[1, 2", b"9" * 10_000,
        b'{"a": 1}\x00',
    ],
    ids=["lists", "mappings", "utf-16", "cut", "open", "digits", "zero byte"],
)  # fmt: skip
def test_what_no_parser_should_be_given(reader: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    refused(reader, path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085", "\u000c", "\u001c", "\u000b"])
def test_what_some_call_the_end_of_a_line_is_part_of_a_text(
    reader: str, end: str, tmp_path: Path
) -> None:
    value = {"input": f"one{end}two", "output": "x"}
    path = tmp_path / "file"
    path.write_text(f"\ufeff{json.dumps(value, ensure_ascii=reader == 'yaml' or end < ' ')}\n")
    found = READERS[reader][0](path)
    assert found == ([("line 1", value)] if reader == "task_defs" else value)


def test_json_values_over_several_lines_and_from_one_list(tmp_path: Path) -> None:
    values = [{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]
    spread = "\n\n".join(json.dumps(value, indent=2) for value in values)
    assert list(task_defs.files.json_values(spread)) == [
        ("line 1", values[0]),
        ("line 6", values[1]),
    ]
    assert list(task_defs.files.json_values(json.dumps(values, indent=2))) == [
        ("item 1", values[0]), ("item 2", values[1]),
    ]  # fmt: skip
    assert list(task_defs.files.json_values(" [ ] ")) == []
    for text in ("[1 2]", "[1,]", "[1] 2", "[,]", "[", "[1"):
        with pytest.raises(task_defs.files.Unreadable, match="not JSON"):
            list(task_defs.files.json_values(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MERGES, "aliases followed"),
        (MERGES.replace("<<: ", "b: "), "aliases followed"),
        ("a: &a [*a]", r"\*a stands before or within"),
        ("- " * 1000, "levels"),
        ("? " * 1000, "levels"),
        ("a: 1\nb: {c: 2, d: 3, c: 4}", "line 2: the key 'c' stands twice"),
        ("a: !!python/object/apply:os.getcwd []", "not YAML"),
        ("a: 2026-13-45", "not YAML"),
        ("a: !!timestamp never", "not YAML"),
        ("a: !!bool 7", "not YAML"),
        ("a: !!int ''", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
    ],
)
def test_yaml_that_is_not_built(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(task_defs.files.Unreadable, match=said):
        task_defs.yaml_files.read_yaml(path)
    refused("yaml", path)


def test_yaml_that_is_built_equals_the_plain_loader(tmp_path: Path) -> None:
    import yaml

    text = "x: &x {a: 1, b: [1.5, no]}\ny:\n  <<: *x\n  b: 2\nz: [*x, *x]\n"
    path = tmp_path / "file.yaml"
    path.write_text(text + "f: !function utils.load\n")
    found = task_defs.yaml_files.read_yaml(path)
    assert found.pop("f") == "utils.load"
    assert found == yaml.safe_load(text)


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("long" * 50 + ".json")
    reports.files.write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device.*longlong"):
            reports.files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OSError, match=r"none/file"):
        reports.files.write_atomically(tmp_path / "none" / "file", "new")


def test_a_link_stays_one_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    for name, target in {"link": "file", "ahead": "later"}.items():
        (tmp_path / name).symlink_to(target)
        reports.files.write_atomically(tmp_path / name, "text")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_text() == "text"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    reports.files.write_atomically(tmp_path / "pipe", [b"text", b"!"])
    assert os.read(reader, 9) == b"text!"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    reports.files.write_atomically(tmp_path / "pipe", "nobody reads")  # and nobody waits
    assert (tmp_path / "pipe").read_text() == "nobody reads"


def test_what_killed_processes_left_is_told_from_what_is_being_written(tmp_path: Path) -> None:
    own = reports.files.part_of(tmp_path / "own")
    dead = own.with_name(own.name.replace(f".{os.getpid()}.", ".4194303."))
    far, old = own.with_name(".far.elsewhere.1.ab.part"), own.with_name(".old.elsewhere.1.ab.part")
    for each in (own, dead, far, old):
        each.touch()
    os.utime(old, (1, 1))
    assert set(reports.files.abandoned(tmp_path)) == {dead, old}
