"""Vectors with a condition: each row is judged by its own prompt, once, for all that follows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from steering import BadVector, Edit, SteeringVector, attached_by_row
from steering.operations import condition

TEXTS = ("Q: a\nA:", "something else, and longer", "zz top", "Q: b\nA:")


@pytest.fixture
def judged(model: Any, tokenizer: Any) -> tuple[SteeringVector, list[bool]]:
    """A conditional vector that about half of the texts meet, and which of them do."""
    torch.manual_seed(3)
    v = torch.randn(32)
    means, own = [], copy.deepcopy(model)  # hooks that output_hidden_states needs stay
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text)])
        means.append(own(ids, output_hidden_states=True).hidden_states[1][0].mean(dim=0))
    states = torch.stack(means).detach()
    seen = torch.tanh((states @ v)[:, None] * v / v.square().sum())
    threshold = float(torch.cosine_similarity(states, seen, dim=-1).sort().values[1:3].mean())
    parameters = {"threshold": threshold, "above": 1.0}
    met = condition(states, v, **parameters).tolist()
    assert sum(met) == 2
    gate = Edit("block_input", 1, "condition", v, "prompt", parameters=parameters)
    edits = (gate, *(Edit("block_output", at, "add", torch.randn(32)) for at in (1, 2)))
    return SteeringVector(edits, 2.0), met


@torch.no_grad()
def logits(model: Any, tokenizer: Any, text: str) -> torch.Tensor:
    return model(torch.tensor([tokenizer.encode(text)])).logits[0]


def test_a_row_is_steered_where_its_prompt_meets_the_condition(
    model: Any, tokenizer: Any, judged: Any
) -> None:
    vector, met = judged
    always = SteeringVector(vector.edits[1:], vector.coefficient)
    for text, steered in zip(TEXTS, met, strict=True):
        plain = logits(model, tokenizer, text)
        with always.attached(model):
            moved = logits(model, tokenizer, text)
        with vector.attached(model):
            found = logits(model, tokenizer, text)
        assert torch.equal(found, moved if steered else plain)


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_of_a_padded_batch_are_judged_alone(
    model: Any, tokenizer: Any, judged: Any, side: str
) -> None:
    vector, met = judged
    rows = [tokenizer.encode(text) for text in TEXTS]
    width = max(map(len, rows))
    pads = [[0] * (width - len(row)) for row in rows]
    both = [(p, r) if side == "left" else (r, p) for p, r in zip(pads, rows, strict=True)]
    ids = torch.tensor([[*a, *b] for a, b in both])
    real = [[0] * len(p) + [1] * len(r) for p, r in zip(pads, rows, strict=True)]
    mask = torch.tensor([each if side == "left" else each[::-1] for each in real])
    with torch.no_grad(), vector.attached(model):
        found = model(input_ids=ids, attention_mask=mask).logits
    for row, text in enumerate(TEXTS):
        with vector.attached(model):
            alone = logits(model, tokenizer, text)
        own = found[row][mask[row].bool()]
        torch.testing.assert_close(own, alone, atol=1e-4, rtol=1e-4)
    assert len(set(met)) == 2


def test_vectors_by_row_keep_their_own_conditions(model: Any, tokenizer: Any, judged: Any) -> None:
    vector, met = judged
    other = SteeringVector((Edit("block_output", 0, "add", torch.ones(32), "continuation"),), 1.0)
    text = TEXTS[met.index(False)]
    ids = torch.tensor([tokenizer.encode(text)] * 3)
    with torch.no_grad(), attached_by_row(model, [vector, other, None]):
        found = model(ids).logits
    plain = logits(model, tokenizer, text)
    with other.attached(model):
        moved = logits(model, tokenizer, text)
    torch.testing.assert_close(found[0], plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], moved, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[2], plain, atol=1e-4, rtol=1e-4)


def test_the_prompt_decides_for_everything_that_is_generated(
    model: Any, tokenizer: Any, judged: Any
) -> None:
    vector, met = judged
    for text, steered in zip(TEXTS, met, strict=True):
        ids = torch.tensor([tokenizer.encode(text)])
        always = SteeringVector(vector.edits[1:], vector.coefficient if steered else 0.0)
        written = []
        for own in (vector, always):
            for cache in (True, False):
                with torch.no_grad(), own.attached(model):
                    written.append(
                        model.generate(
                            ids, max_new_tokens=6, do_sample=False, use_cache=cache,
                            pad_token_id=0, attention_mask=torch.ones_like(ids),
                        )
                    )  # fmt: skip
        assert all(torch.equal(written[0], other) for other in written[1:])


def test_a_conditional_vector_is_kept_and_combined_with_nothing(
    judged: Any, tmp_path: Path
) -> None:
    vector, _ = judged
    loaded = SteeringVector.from_pretrained(vector.save_pretrained(tmp_path / "v"))
    for mine, theirs in zip(loaded.edits, vector.edits, strict=True):
        assert torch.equal(mine.tensor, theirs.tensor)
        assert mine.parameters == pytest.approx(theirs.parameters)
    assert not vector.continues
    assert SteeringVector(vector.edits[1:]).continues
    for combined in (lambda: vector.stack(vector), lambda: vector + vector):
        with pytest.raises(BadVector, match=r"no sum|condition"):
            combined()


def test_edits_say_what_their_operation_needs() -> None:
    with pytest.raises(BadVector, match="expected threshold, above"):
        Edit("block_input", 0, "condition", torch.ones(4)).check()
    with pytest.raises(BadVector, match="with parameters kappa; expected none"):
        Edit("block_input", 0, "add", torch.ones(4), parameters={"kappa": 1.0}).check()
    parameters = {"angle": 1.0, "adaptive": 0.0}
    with pytest.raises(BadVector, match="expected 2 axes"):
        Edit("block_output", 0, "turn_in_plane", torch.ones(4), parameters=parameters).check()
