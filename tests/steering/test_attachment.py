"""A vector for each row of a batch, against each vector attached alone to its own row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from steering import BadVector, Edit, SteeringVector, attached_by_row, resolve
from tests.harness.zoo import CONFIGS, save

PROMPTS = [[5, 11, 6, 3, 8], [9, 4], [7, 9, 4, 6], [8, 8, 3], [5, 6, 7, 8, 9, 10], [3, 12, 13]]
ANSWER = [7, 9]
STEPS = 4


@pytest.fixture(scope="module", params=CONFIGS)
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    folder = save(request.param, Path(tmp_path_factory.mktemp(request.param)))
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def vectors(model: Any) -> list[SteeringVector | None]:
    """Of every kind: other layers, operations, sites and positions, several edits at one place."""
    layout = resolve(model)
    generator = torch.Generator().manual_seed(0)

    def edit(site: str, layer: int, operation: str, positions: str, head: int | None = None) -> Any:
        width = layout.head_dim if head is not None else layout.width(site, layer)
        tensor = torch.randn(width, generator=generator)
        return Edit(site, layer, operation, tensor, positions, head)

    everywhere = [
        edit("mlp_output", la, "norm_preserving_add", "all") for la in range(layout.n_layers)
    ]
    twice = [
        edit("block_output", 1, "replace", "last_prompt"),
        edit("block_output", 1, "add", "all"),
    ]
    return [
        SteeringVector((edit("block_output", 0, "add", "continuation"),), 2.0),
        None,
        SteeringVector(tuple(everywhere), 0.5),
        SteeringVector((edit("block_output", 0, "add", "continuation"),), 0.0),
        SteeringVector(tuple(twice), 1.0),
        SteeringVector((edit("head_output", 2, "replace", "continuation", head=1),), 1.0),
    ]


def padded(rows: list[list[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    pads = [[0] * (width - len(row)) for row in rows]
    zipped = list(zip(rows, pads, strict=True))
    ids = torch.tensor([[*pad, *row] if left else [*row, *pad] for row, pad in zipped])
    real = [[0] * len(pad) + [1] * len(row) for row, pad in zipped]
    return ids, torch.tensor(real if left else [row[::-1] for row in real])


@torch.no_grad()
def test_scoring(any_model: Any) -> None:
    rows = [[*prompt, *ANSWER] for prompt in PROMPTS]
    ids, _ = padded(rows, left=False)
    prompts = torch.tensor([len(prompt) for prompt in PROMPTS])
    totals = torch.tensor([len(row) for row in rows])
    every = vectors(any_model)
    plain = any_model(ids, use_cache=False).logits
    with (
        attached_by_row(any_model, every) as attachment,
        attachment.lengths(prompts, totals),
    ):
        together = any_model(ids, use_cache=False).logits
    assert attachment.calls == 1
    for i, vector in enumerate(every):
        alone = plain[i, : totals[i]]
        if vector is not None:
            with (
                vector.attached(any_model) as one,
                one.lengths(prompts[i : i + 1], totals[i : i + 1]),
            ):
                alone = any_model(torch.tensor([rows[i]]), use_cache=False).logits[0]
            if vector.coefficient != 0:
                assert (alone - plain[i, : totals[i]]).abs().max() > 1e-3
        torch.testing.assert_close(together[i, : totals[i]], alone, atol=2e-5, rtol=1e-4)


def written(model: Any, ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return model.generate(
        ids, attention_mask=real, do_sample=False, max_new_tokens=STEPS, min_new_tokens=STEPS
    )[:, -STEPS:]


def test_generation(any_model: Any) -> None:
    every = vectors(any_model)
    with attached_by_row(any_model, every) as attachment:
        together = written(any_model, *padded(PROMPTS, left=True))
    assert attachment.calls == STEPS
    for prompt, vector, found in zip(PROMPTS, every, together, strict=True):
        with (vector or SteeringVector((), 0.0)).attached(any_model):
            assert torch.equal(found, written(any_model, *padded([prompt], left=True))[0])


@torch.no_grad()
def test_rows_without_a_vector_stay_as_they_are_to_the_last_bit(model: Any) -> None:
    ids, every = padded(PROMPTS, left=False)[0], vectors(model)
    plain = model(ids, use_cache=False).logits
    with attached_by_row(model, every):
        steered = model(ids, use_cache=False).logits
    unchanged = [torch.equal(a, b) for a, b in zip(plain, steered, strict=True)]
    assert unchanged == [False, True, False, True, False, False]


def test_a_batch_of_another_size_is_refused(model: Any) -> None:
    with (
        pytest.raises(BadVector, match="3 rows under 6 vectors"),
        attached_by_row(model, vectors(model)),
    ):
        model(torch.ones(3, 2, dtype=torch.long))


def test_what_does_not_fit_is_refused(model: Any) -> None:
    wide = SteeringVector((Edit("block_output", 0, "add", torch.ones(5)),))
    with pytest.raises(BadVector, match="width 5"), attached_by_row(model, [None, wide]):
        pass
