"""Steering vectors: arithmetic, attaching, and the disk."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from steering import BadVector, Edit, SteeringVector

WIDTH = 32


def edit(layer: int = 1, value: float = 1.0, **more: Any) -> Edit:
    torch.manual_seed(layer)
    settings = {"site": "block_output", "operation": "add", **more}
    return Edit(layer=layer, tensor=value * torch.randn(settings.pop("width", WIDTH)), **settings)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(torch.tensor([[5, 6, 7, 8]]), use_cache=False).logits


def steered(model: Any, vector: SteeringVector) -> torch.Tensor:
    with vector.attached(model):
        return logits(model)


def test_arithmetic_of_additive_vectors(model: Any) -> None:
    one, two = SteeringVector((edit(0),), 2.0), SteeringVector((edit(1), edit(0, 3.0)))
    total = {e.layer: e.tensor for e in (one + two).edits}
    torch.testing.assert_close(total[0], edit(0).tensor * 2 + edit(0, 3.0).tensor)
    torch.testing.assert_close(total[1], edit(1).tensor)
    torch.testing.assert_close((one - one).edits[0].tensor, torch.zeros(WIDTH))
    assert (-one).coefficient == -2.0
    assert (0.5 * one).coefficient == 1.0
    torch.testing.assert_close(steered(model, one + two), steered(model, one.stack(two)))


def test_norm_and_size() -> None:
    vector = SteeringVector((Edit("block_output", 0, "add", torch.tensor([3.0, 4.0])),), 9.0)
    assert vector.norm == pytest.approx(5.0)
    assert vector.nbytes == 8


def test_edits_that_are_not_linear_do_not_add() -> None:
    turning = SteeringVector((edit(operation="norm_preserving_add"),), 0.5)
    with pytest.raises(BadVector, match="not linear"):
        turning + turning


def test_attaching_leaves_the_model_as_it_was(model: Any) -> None:
    plain, vector = logits(model), SteeringVector((edit(0), edit(2)))
    with vector.attached(model, coefficient=0.0):
        assert torch.equal(logits(model), plain)
    with vector.attached(model) as attachment:
        assert not torch.equal(logits(model), plain)
        with suppress(KeyError), (-vector).attached(model):
            torch.testing.assert_close(logits(model), plain, atol=1e-4, rtol=1e-4)
            raise KeyError
        assert attachment.calls == 2
    assert torch.equal(logits(model), plain)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (edit(9), "layers 0 to 2"),
        (edit(width=16), "width 16 at block_output, the model has 32"),
        (edit(site="nowhere"), "site 'nowhere'"),
        (edit(operation="explode"), "operation 'explode'"),
        (edit(positions="some"), "positions 'some'"),
        (edit(head=1), "expected head_output"),
        (edit(site="head_output", head=9, width=8), "head 9, the model has 4 heads"),
        (edit(value=float("nan")), "finite"),
    ],
)
def test_what_does_not_fit_is_refused(made: Edit, expected: str, model: Any) -> None:
    with pytest.raises(BadVector, match=expected), SteeringVector((made,)).attached(model):
        pass


def test_round_trip(model: Any, tmp_path: Path) -> None:
    vector = SteeringVector(
        (edit(0), edit(2, site="head_output", head=1, width=8, positions="continuation")),
        0.7, "raw", {"method": "fv", "task": "letters"},
    )  # fmt: skip
    folder = vector.save_pretrained(tmp_path / "v")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "steering_config.json", "steering_vector.safetensors",
    ]  # fmt: skip
    loaded = SteeringVector.from_pretrained(folder, model)
    assert torch.equal(steered(model, loaded), steered(model, vector))
    assert loaded.provenance == vector.provenance
    assert loaded.unit == "raw"


def change(folder: Path, **content: Any) -> None:
    path = folder / "steering_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))


def damage(folder: Path, kind: str) -> None:
    config, tensors = folder / "steering_config.json", folder / "steering_vector.safetensors"
    if kind == "no config":
        config.unlink()
    elif kind == "no tensors":
        tensors.unlink()
    elif kind == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:40])
    elif kind == "pickle":
        torch.save({"edit_0": torch.zeros(WIDTH)}, tensors)
    elif kind == "other numbers":
        save_file({"edit_0": torch.zeros(WIDTH)}, tensors)
    elif kind in ("F8", "F4"):
        content = tensors.read_bytes().replace(b'"F32"', {"F8": b'"F8_E4M3"', "F4": b'"F4"'}[kind])
        size = content.index(b"}}") + 2 - 8
        tensors.write_bytes(size.to_bytes(8, "little") + content[8:])
        change(folder, tensors_sha256=sha256(tensors.read_bytes()).hexdigest(), config_sha256="")
    elif kind == "wide header":
        tensors.write_bytes((2**62).to_bytes(8, "little") + tensors.read_bytes()[8:])
        change(folder, tensors_sha256=sha256(tensors.read_bytes()).hexdigest(), config_sha256="")
    elif kind == "one bit":
        config.write_text(config.read_text().replace('"layer": 1', '"layer": 0'))
    elif kind == "deep":
        config.write_text("[" * 100_000)
    elif kind == "no json":
        config.write_text("{")
    else:
        entry = json.loads(config.read_text())["edits"][0]
        contents: dict[str, Any] = {
            "format": {"format": 99},
            "list": {"edits": 5},
            "no edits": {"edits": []},
            "missing key": {"edits": [{"layer": 1}]},
            "layer": {"edits": [{**entry, "layer": "one"}]},
            "other tensor": {"edits": [{**entry, "tensor": "../../etc"}]},
            "coefficient": {"coefficient": "strong"},
            "provenance": {"provenance": 3},
            "10**400": {"coefficient": 10**400},
            "1e39": {"coefficient": 1e39},
            "true": {"coefficient": True},
            "layer base": {"layer_base": 1},
            "unknown key": {"strength": 2.0},
            "unit": {"unit": 1},
            "digest": {"config_sha256": "0" * 64},
            "site": {"edits": [{**entry, "site": ["block_output"]}]},
            "negative layer": {"edits": [{**entry, "layer": -1}]},
            "layer of a truth": {"edits": [{**entry, "layer": True}]},
        }
        change(folder, **{"config_sha256": "", **contents[kind]})


@pytest.mark.parametrize(
    "kind",
    [
        "no config", "no tensors", "truncated", "pickle", "other numbers", "deep", "no json",
        "format", "list", "no edits", "missing key", "layer", "other tensor", "coefficient",
        "provenance", "10**400", "1e39", "true", "layer base", "unknown key", "unit", "digest",
        "site", "negative layer", "layer of a truth", "F8", "F4", "wide header", "one bit",
    ],
)  # fmt: skip
def test_damaged_and_hostile_folders_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    folder = SteeringVector((edit(),)).save_pretrained(tmp_path / "v")
    damage(folder, kind)
    with pytest.raises(BadVector) as caught:
        SteeringVector.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_vector_of_another_base_model_warns(model: Any, tmp_path: Path) -> None:
    vector = SteeringVector((edit(),), provenance={"base_config_sha256": "0" * 64})
    folder = vector.save_pretrained(tmp_path / "v")
    with pytest.warns(UserWarning, match="fitted on"):
        SteeringVector.from_pretrained(folder, model)


def test_a_full_disk_keeps_the_old_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SteeringVector((edit(),), 1.0).save_pretrained(tmp_path / "v")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("steering.store.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        SteeringVector((edit(value=2.0),), 5.0).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_every_flipped_bit_of_a_folder_is_noticed(tmp_path: Path) -> None:
    vector = SteeringVector((edit(),), 0.5, provenance={"method": "fv", "fit_seconds": 1.25})
    folder = vector.save_pretrained(tmp_path / "v")
    for name in ("steering_config.json", "steering_vector.safetensors"):
        content = (folder / name).read_bytes()
        for bit in range(0, 8 * len(content), 7):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            (folder / name).write_bytes(flipped)
            try:
                found = SteeringVector.from_pretrained(folder)
            except BadVector:
                continue
            assert json.loads(flipped) == json.loads(content)  # white space between the words
            assert found.coefficient == 0.5
        (folder / name).write_bytes(content)


def test_strengths_that_no_model_can_hold(model: Any) -> None:
    for coefficient in (1e39, float("nan"), float("inf"), 10**400):
        strong = SteeringVector((edit(),), coefficient)
        with pytest.raises(BadVector, match="coefficient"), strong.attached(model):
            pass


@pytest.mark.parametrize(
    ("operation", "tensor", "parameters"),
    [
        ("transport", torch.ones(4), dict.fromkeys(("centre", "slope", "low"), torch.ones(4))),
        ("transport", torch.ones(4), {**dict.fromkeys(("centre", "slope", "low"), torch.ones(4)),
                                      "high": torch.ones(5)}),
        ("replace_by_code", torch.ones(2, 4), {"keys": torch.ones(2, 4), "borders": torch.ones(2)}),
        ("turn_in_plane", torch.ones(2, 4), {"angle": torch.ones(4), "adaptive": 1.0}),
        ("rotate", torch.ones(4), {"kappa": float("nan"), "beta": 0.5}),
        ("add", torch.ones(4), {"angle": 1.0}),
        ("turn_in_plane", torch.ones(1, 4), {"angle": 90.0, "adaptive": 1.0}),
    ],
)  # fmt: skip
def test_parameters_of_another_shape_are_refused(
    operation: str, tensor: torch.Tensor, parameters: dict[str, Any]
) -> None:
    with pytest.raises(BadVector, match=r"parameter|shape"):
        Edit("block_output", 1, operation, tensor, parameters=parameters).check()
