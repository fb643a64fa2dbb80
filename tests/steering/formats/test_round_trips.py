"""What is written is read back as the same steering, to the last bit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from steering import SteeringVector
from tests.harness.zoo import made
from tests.steering.formats.vectors import FOREIGN, logits, vector


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("coefficient", [1.0, 1.7, -0.3])
@pytest.mark.parametrize("to", FOREIGN)
def test_logits_survive_the_file(
    to: str, coefficient: float, dtype: Any, model: Any, tmp_path: Path
) -> None:
    before = vector(1, 2, coefficient=coefficient, dtype=dtype)
    after = SteeringVector.load(before.save(tmp_path / FOREIGN[to], to, model), model)
    assert torch.equal(logits(model, after), logits(model, before))
    assert not torch.equal(logits(model, after), logits(model))
    assert after.provenance["format"] == to
    assert after.layers == (1, 2)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "opt", "gemma2", "bloom"])
@pytest.mark.parametrize("site", ["block_output", "attn_output", "mlp_output"])
def test_lm_eval_names_the_modules_of_the_model(
    architecture: str, site: str, tmp_path: Path
) -> None:
    model = made(architecture)
    before = vector(0, 2, site=site)
    after = SteeringVector.load(before.save(tmp_path / "v.pt", "lm_eval", model), model)
    assert [(edit.site, edit.layer) for edit in after.edits] == [(site, 0), (site, 2)]
    assert torch.equal(logits(model, after), logits(model, before))


@pytest.mark.parametrize(
    ("to", "site", "operation"),
    [
        ("lm_eval", "mlp_output", "clamp"),
        ("lm_eval", "attn_output", "project_out"),
        ("glp", "attn_output", "add"),
        ("glp", "mlp_output", "add"),
        ("steering_vectors", "attn_output", "add"),
        ("steering_vectors", "mlp_output", "add"),
    ],
)
def test_other_sites_and_operations(
    to: str, site: str, operation: str, model: Any, tmp_path: Path
) -> None:
    before = vector(1, coefficient=1.0, site=site, operation=operation)
    after = SteeringVector.load(before.save(tmp_path / FOREIGN[to], to, model), model)
    assert [(edit.site, edit.operation) for edit in after.edits] == [(site, operation)]
    assert torch.equal(logits(model, after), logits(model, before))


@pytest.mark.parametrize("coefficient", [1.0, 2.5])
def test_glp_keeps_the_strength_of_a_projection_and_unit_directions(
    coefficient: float, model: Any, tmp_path: Path
) -> None:
    given = vector(1, 2, coefficient=coefficient, operation="project_out")
    once = SteeringVector.load(given.save(tmp_path / "a.gguf", "glp"), model)
    assert once.coefficient == coefficient
    for edit in once.edits:
        assert float(edit.tensor.double().norm()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(logits(model, once), logits(model, given))
    twice = SteeringVector.load(once.save(tmp_path / "b.gguf", "glp"), model)
    assert torch.equal(logits(model, twice), logits(model, once))


@pytest.mark.parametrize("to", FOREIGN)
def test_a_foreign_file_read_and_written_is_the_same_file(
    to: str, model: Any, tmp_path: Path
) -> None:
    first = vector(1, 2).save(tmp_path / "1" / FOREIGN[to], to, model)
    second = SteeringVector.load(first, model).save(tmp_path / "2" / FOREIGN[to], to, model)
    contents = []
    for place in (first, second):
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        contents.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert contents[0] == contents[1]


def test_float64_is_not_narrowed_where_the_format_holds_it(tmp_path: Path) -> None:
    before = vector(1, coefficient=1.0, dtype=torch.float64)
    for to in ("svec", "persona", "caa", "steering_vectors"):
        after = SteeringVector.load(before.save(tmp_path / FOREIGN[to], to))
        assert torch.equal(after.edits[0].tensor, before.edits[0].tensor)


def test_layers_are_chosen_on_loading(tmp_path: Path) -> None:
    path = vector(0, 1, 2).save(tmp_path / "v", "caa")
    assert SteeringVector.load(path, layers=[1]).layers == (1,)
    assert SteeringVector.load(vector(0, 2).save(tmp_path / "n"), layers=[2]).layers == (2,)
    with pytest.raises(ValueError, match=r"no edit at layer \[5\], it has \[0, 1, 2\]"):
        SteeringVector.load(path, layers=[1, 5])
