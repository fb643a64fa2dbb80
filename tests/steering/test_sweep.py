"""Every cell of a grid against one plain, steered forward pass of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from steering import BadVector, Edit, SteeringVector, resolve
from steering.sweep import Swept, grid, sweep
from tests.harness.zoo import CONFIGS, save

COEFFICIENTS = (0.0, -1.0, 0.5, 2.0)
ANSWER = [7, 9, 4]
PROMPT = [5, 11, 6, 3, 8]
PROMPTS, ANSWERS = [[3, 8], PROMPT, [9, 4, 6]], [[5], ANSWER, [7, 9, 4]]
"""Texts that share the passes."""


@pytest.fixture(scope="module", params=CONFIGS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    folder = save(request.param, Path(tmp_path_factory.mktemp(request.param)))
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def noise(model: Any, seed: int = 0) -> torch.Tensor:
    size = resolve(model).hidden_size
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def one_by_one(model: Any, vectors: list[SteeringVector]) -> Swept:
    ids = torch.tensor([[*PROMPT, *ANSWER[:-1]]])
    log_probs, greedy = [], []
    for vector in vectors:
        lengths = torch.tensor([len(PROMPT)]), torch.tensor([ids.shape[1]])
        with vector.attached(model) as attachment, attachment.lengths(*lengths):
            logits = model(input_ids=ids, use_cache=False).logits[0, len(PROMPT) - 1 :]
        found = logits.log_softmax(dim=-1)
        log_probs.append(
            torch.stack([row[token] for row, token in zip(found, ANSWER, strict=True)])
        )
        greedy.append(logits.argmax(dim=-1) == torch.tensor(ANSWER))
    return Swept(torch.stack(log_probs), torch.stack(greedy), torch.zeros(len(vectors), 0))


@pytest.mark.parametrize("positions", ["last_prompt", "continuation", "all"])
@pytest.mark.parametrize("operation", ["add", "norm_preserving_add", "replace"])
def test_cells_equal_single_passes(model: Any, positions: str, operation: str) -> None:
    edit = Edit("block_output", 0, operation, noise(model), positions)
    cells = grid(SteeringVector((edit,)), range(resolve(model).n_layers), COEFFICIENTS)
    found, expected = sweep(model, PROMPTS, ANSWERS, cells)[1], one_by_one(model, cells)
    torch.testing.assert_close(found.log_probs, expected.log_probs, atol=1e-5, rtol=1e-5)
    assert torch.equal(found.greedy, expected.greedy)
    assert len({tuple(row.tolist()) for row in expected.log_probs}) > len(COEFFICIENTS)


@pytest.mark.parametrize("site", ["attn_output", "mlp_output"])
def test_other_sites(model: Any, site: str) -> None:
    edit = Edit(site, 0, "add", noise(model), "continuation")
    cells = grid(SteeringVector((edit,)), range(resolve(model).n_layers), COEFFICIENTS)
    found, expected = sweep(model, PROMPTS, ANSWERS, cells)[1], one_by_one(model, cells)
    torch.testing.assert_close(found.log_probs, expected.log_probs, atol=1e-5, rtol=1e-5)


def test_edits_in_every_layer_share_batches(model: Any) -> None:
    edits = tuple(
        Edit("mlp_output", layer, "norm_preserving_add", noise(model, layer))
        for layer in range(resolve(model).n_layers)
    )
    cells = grid(SteeringVector(edits), (), COEFFICIENTS)
    found, expected = sweep(model, PROMPTS, ANSWERS, cells)[1], one_by_one(model, cells)
    torch.testing.assert_close(found.log_probs, expected.log_probs, atol=1e-5, rtol=1e-5)


def test_vectors_of_both_kinds_keep_their_order(model: Any) -> None:
    early = SteeringVector((Edit("block_output", 0, "add", noise(model), "all"),), 1.0)
    late = SteeringVector((Edit("block_output", 0, "add", noise(model), "continuation"),), 1.0)
    cells = [early, late, early.with_coefficient(2.0), late.with_coefficient(-1.0)]
    found, expected = sweep(model, PROMPTS, ANSWERS, cells)[1], one_by_one(model, cells)
    torch.testing.assert_close(found.log_probs, expected.log_probs, atol=1e-5, rtol=1e-5)


def test_a_broken_cell_breaks_no_other(model: Any) -> None:
    edit = Edit("block_output", 0, "add", noise(model), "continuation")
    cells = grid(SteeringVector((edit,)), (0, 1), (1.0, 3e38, 2.0))
    found, expected = sweep(model, PROMPTS, ANSWERS, cells)[1], one_by_one(model, cells)
    torch.testing.assert_close(
        found.log_probs, expected.log_probs, atol=1e-5, rtol=1e-5, equal_nan=True
    )
    assert torch.isfinite(found.log_probs[[0, 2, 3, 5]]).all()


def test_several_edits_have_no_layer_to_move(model: Any) -> None:
    edits = tuple(Edit("block_output", layer, "add", noise(model)) for layer in (0, 1))
    with pytest.raises(BadVector, match="2 edits has no layer to be moved"):
        grid(SteeringVector(edits), (0,), (1.0,))
