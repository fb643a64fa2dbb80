"""Our files under other projects' own code, and their files under ours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from lm_eval.models.hf_steered import SteeredModel

from steering import BadVector, Edit, SteeringVector
from steering.formats import torch_file
from tests.steering.formats.vectors import WIDTH, logits, vector


def under_lm_eval(folder: Path, file: Path) -> torch.Tensor:
    steered = SteeredModel(pretrained=str(folder), steer_path=str(file), device="cpu")
    return steered._model_call(torch.tensor([[5, 6, 7, 8]]))


@pytest.mark.parametrize("site", ["block_output", "attn_output", "mlp_output"])
def test_our_file_runs_under_lm_evals_steered(
    site: str, folder: Path, model: Any, tmp_path: Path
) -> None:
    ours = vector(0, 2, site=site)
    file = ours.save(tmp_path / "v.pt", "lm_eval", model)
    assert torch.equal(under_lm_eval(folder, file), logits(model, ours))


@pytest.mark.parametrize("operation", ["clamp", "project_out"])
def test_our_clamp_is_lm_evals(operation: str, folder: Path, model: Any, tmp_path: Path) -> None:
    ours = vector(1, coefficient=1.0, operation=operation)
    file = ours.save(tmp_path / "v.pt", "lm_eval", model)
    torch.testing.assert_close(under_lm_eval(folder, file), logits(model, ours))


@pytest.mark.parametrize("value", [0.0, 4.0, -3.0])
@pytest.mark.parametrize("biased", [False, True])
def test_their_clamp_is_ours(
    value: float, biased: bool, folder: Path, model: Any, tmp_path: Path
) -> None:
    entry = {
        "steering_vector": torch.randn(WIDTH), "steering_coefficient": value, "action": "clamp",
        "bias": torch.randn(WIDTH) if biased else None, "head_index": None,
    }  # fmt: skip
    torch.save({"layers.1.mlp": entry}, tmp_path / "v.pt")
    ours = SteeringVector.load(tmp_path / "v.pt", model)
    torch.testing.assert_close(under_lm_eval(folder, tmp_path / "v.pt"), logits(model, ours))


def test_their_strengths_may_differ_by_module(folder: Path, model: Any, tmp_path: Path) -> None:
    entries = {
        path: {"steering_vector": torch.randn(WIDTH), "steering_coefficient": c, "action": "add"}
        for path, c in (("layers.0", 1.7), ("layers.2.self_attn.o_proj", -0.4))
    }
    torch.save(entries, tmp_path / "v.pt")
    for known in (model, None):
        ours = SteeringVector.load(tmp_path / "v.pt", known)
        assert torch.equal(under_lm_eval(folder, tmp_path / "v.pt"), logits(model, ours))


def test_the_package_gguf_reads_our_file(tmp_path: Path) -> None:
    ours = vector(1, 2)
    reader = gguf.GGUFReader(ours.save(tmp_path / "v.gguf"))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.layer_count"] == 2
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert sorted(found) == ["direction.1", "direction.2"]
    for edit in ours.edits:
        tensor = found[f"direction.{edit.layer}"]
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
        assert np.array_equal(tensor.data, (edit.tensor * ours.coefficient).numpy())


def test_a_file_of_the_package_gguf_is_read(model: Any, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", 2)
    writer.add_array("controlvector.notes", ["one", "two"])
    rows = {
        layer: np.random.default_rng(layer).standard_normal(WIDTH, np.float32) for layer in (1, 2)
    }
    for layer, row in rows.items():
        writer.add_tensor(f"direction.{layer}", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = SteeringVector.load(tmp_path / "v.gguf")
    assert found.provenance["model_hint"] == "llama"
    # llama.cpp: the residual after block N, plus direction.N
    handles = [
        model.model.layers[layer].register_forward_hook(
            lambda _module, _inputs, output, row=row: output + torch.tensor(row)
        )
        for layer, row in rows.items()
    ]
    try:
        expected = logits(model)
    finally:
        for handle in handles:
            handle.remove()
    assert torch.equal(logits(model, found), expected)


def inputs_of_blocks(model: Any, steering: SteeringVector | None = None) -> list[torch.Tensor]:
    """What each block reads (output_hidden_states would leave its recorders on the model)."""
    seen: list[torch.Tensor] = []
    handles = [
        block.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        for block in model.model.layers
    ]
    try:
        logits(model, steering)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def test_rows_of_persona_are_indices_of_hidden_states(model: Any, tmp_path: Path) -> None:
    rows = torch.zeros(4, WIDTH)
    rows[2] = torch.randn(WIDTH)
    torch.save(rows, tmp_path / "p.pt")
    found = SteeringVector.load(tmp_path / "p.pt", model)
    plain, steered = inputs_of_blocks(model), inputs_of_blocks(model, found)
    assert torch.equal(steered[1], plain[1])  # hidden_states[i] is what block i reads
    assert torch.equal(steered[2], plain[2] + rows[2])
    written = torch.load(found.save(tmp_path / "q.pt", "persona", model), weights_only=True)
    assert torch.equal(written, rows)


def test_the_row_of_the_embeddings_is_said_to_be_left_out(tmp_path: Path) -> None:
    torch.save(torch.randn(4, WIDTH), tmp_path / "p.pt")
    found = SteeringVector.load(tmp_path / "p.pt")
    assert found.layers == (0, 1, 2)
    assert "row 0" in str(found.provenance["assumed"])


@pytest.mark.parametrize("rows", [3, 5])
def test_rows_of_blocks_alone_are_not_taken_for_hidden_states(
    rows: int, model: Any, tmp_path: Path
) -> None:
    """Without the embeddings' row every direction would land one block too early."""
    whole = torch.randn(rows, WIDTH)
    torch.save(whole, tmp_path / "p.pt")
    with pytest.raises(BadVector, match=f"p.pt: {rows} rows, expected 4: one of the embeddings"):
        SteeringVector.load(tmp_path / "p.pt", model)
    whole[0] = 0  # as a file is written without the model
    torch.save(whole[:3], tmp_path / "p.pt")
    assert SteeringVector.load(tmp_path / "p.pt", model).layers == (0, 1)


@pytest.mark.parametrize("name", ["s.svec", "p.pt", "g.gguf"])
def test_a_file_of_another_model_is_named(name: str, model: Any, tmp_path: Path) -> None:
    wide = SteeringVector((Edit("block_output", 1, "add", torch.ones(WIDTH + 1)),))
    deep = SteeringVector((Edit("block_output", 9, "add", torch.ones(WIDTH)),))
    to = "persona" if name == "p.pt" else None
    for made, said in ((wide, f"width {WIDTH + 1}"), (deep, "layer 9.*or keep layers that")):
        made.save(tmp_path / name, to)
        with pytest.raises(BadVector, match=f"{name}: the vector .*{said}"):
            SteeringVector.load(tmp_path / name, model)


@pytest.mark.parametrize(("kind", "said"), [("float16", "float16"), ("int8", "kind 24")])
def test_a_gguf_of_other_numbers_is_refused_as_llama_cpp_refuses_it(
    kind: str, said: str, tmp_path: Path
) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "g.gguf"), "controlvector")
    writer.add_tensor("direction.1", np.ones(WIDTH, dtype=kind))
    for write in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{write}_to_file")()
    writer.close()
    with pytest.raises(BadVector, match=f"{said} and 1 axes, expected float32"):
        SteeringVector.load(tmp_path / "g.gguf")


def test_caa_files_are_bare_tensors_by_block(tmp_path: Path) -> None:
    rows = {13: torch.randn(WIDTH), 14: torch.randn(WIDTH).half()}
    for layer, row in rows.items():
        torch.save(row, tmp_path / f"vec_layer_{layer}_Llama-2-7b-chat-hf.pt")
    (tmp_path / "notes.txt").write_text("mine")
    found = SteeringVector.load(tmp_path)
    assert all(torch.equal(edit.tensor, rows[edit.layer]) for edit in found.edits)
    assert "1 other files" in str(found.provenance["assumed"])
    alone = SteeringVector.load(tmp_path / "vec_layer_14_Llama-2-7b-chat-hf.pt")
    assert alone.layers == (14,)
    written = found.save(tmp_path / "out", "caa")
    names = sorted(file.name for file in written.iterdir())
    assert names == [f"vec_layer_{layer}_Llama-2-7b-chat-hf.pt" for layer in rows]


def test_a_bare_tensor_needs_a_layer(tmp_path: Path) -> None:
    torch.save(torch.ones(WIDTH), tmp_path / "mine.pt")
    with pytest.raises(BadVector, match="name one layer"):
        SteeringVector.load(tmp_path / "mine.pt")
    assert SteeringVector.load(tmp_path / "mine.pt", layers=[2]).layers == (2,)


def test_svec_is_json_by_block(tmp_path: Path) -> None:
    ours = vector(0, 2, coefficient=1.0)
    content = json.loads(ours.save(tmp_path / "v.svec").read_text())
    assert sorted(content) == ["directions", "explained_variances", "model_type"]
    assert content["directions"]["2"] == ours.edits[1].tensor.tolist()


@pytest.mark.parametrize("whole", [True, False])
def test_activations_of_steering_vectors(whole: bool, tmp_path: Path) -> None:
    rows = {1: torch.randn(WIDTH), 2: torch.randn(WIDTH)}
    value: Any = {"layer_activations": rows, "layer_type": "mlp"} if whole else rows
    torch.save(value, tmp_path / "s.pt")
    found = SteeringVector.load(tmp_path / "s.pt")
    assert {edit.site for edit in found.edits} == {"mlp_output" if whole else "block_output"}
    assert all(torch.equal(edit.tensor, rows[edit.layer]) for edit in found.edits)


VALUES: list[Any] = [
    torch.randn(3), torch.randn(3, 4).t(), torch.randn(4, 5)[1], torch.randn(4, 5)[:, 2],
    torch.nn.Parameter(torch.randn(3).bfloat16()), torch.tensor(2.0),
    {"a": [1, 2.5, "text", None, True, (1, (2, 3, 4, 5))], 7: torch.randn(2).double()},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(VALUES)))
@pytest.mark.parametrize("protocol", [2, 4])
def test_torch_files_are_read_as_torch_reads_them(
    number: int, protocol: int, tmp_path: Path
) -> None:
    torch.save(VALUES[number], tmp_path / "v.pt", pickle_protocol=protocol)
    ours = torch_file.read((tmp_path / "v.pt").read_bytes(), "v.pt")
    torch.save(VALUES[number], tmp_path / "w.pt")  # weights_only warns of other protocols
    theirs = torch.load(tmp_path / "w.pt", weights_only=True)
    if isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs.data)
        assert ours.dtype == theirs.dtype
    else:
        assert ours["a"] == theirs["a"]
        assert torch.equal(ours[7], theirs[7])


def test_our_lm_eval_file_is_plain_data_for_torch(model: Any, tmp_path: Path) -> None:
    file = vector(1).save(tmp_path / "v.pt", "lm_eval", model)
    (entry,) = torch.load(file, weights_only=True).values()
    assert "bias" not in entry
    assert isinstance(entry["steering_coefficient"], float)


def glp(path: Path, changed: dict[str, Any] | None = None) -> Path:
    """A file as GLP's own tools write it, with some entries changed (None: left out)."""
    row = np.full(WIDTH, WIDTH**-0.5, np.float32)
    entries: dict[str, Any] = {
        "glp.mode": "project", "glp.spec_version": 1, "glp.alpha_default": 2.5, "glp.rank": 1,
        "glp.hook_point": "residual_stream_post_layer",
        "glp.content_sha256": hashlib.sha256(row.tobytes()).hexdigest(),
    }  # fmt: skip
    writer = gguf.GGUFWriter(path, "controlvector")
    for key, value in {**entries, **(changed or {})}.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    writer.add_tensor("direction.1", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_glp_projects_out(model: Any, tmp_path: Path) -> None:
    found = SteeringVector.load(glp(tmp_path / "v.gguf"))
    row = torch.full((WIDTH,), WIDTH**-0.5)
    expected = SteeringVector((Edit("block_output", 1, "project_out", row),), 2.5)
    assert torch.equal(logits(model, found), logits(model, expected))
    older = {f"dspark.{key}": value for key, value in (("mode", "project"), ("alpha_default", 2.5))}
    gone = dict.fromkeys(("glp.mode", "glp.spec_version", "glp.alpha_default", "glp.rank",
                          "glp.hook_point", "glp.content_sha256"))  # fmt: skip
    found = SteeringVector.load(glp(tmp_path / "w.gguf", {**gone, **older}))
    assert torch.equal(logits(model, found), logits(model, expected))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"glp.mode": "rotate"}, "mode 'rotate', expected one of add, project"),
        ({"glp.hook_point": "router"}, "hook_point 'router'"),
        ({"glp.spec_version": 3}, "spec_version 3"),
        ({"glp.rank": 2}, "rank 2"),
        ({"glp.layer_scales": "1:2.0"}, "layer_scales"),
        ({"glp.content_sha256": "0" * 64}, "content_sha256"),
        ({"glp.alpha_default": float("nan")}, "alpha_default is nan"),
    ],
)
def test_what_glp_says_and_we_do_not_know_is_refused(
    changed: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(BadVector, match=expected):
        SteeringVector.load(glp(tmp_path / "v.gguf", changed))
