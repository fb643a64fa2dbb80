"""How far contrasts agree, against loops over pairs and a calculation by hand."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor

from steering import get
from steering.activations import last_token_hidden_states
from steering.contrast import contrasted, paired, questions
from steering.reliability import reliability
from task_defs import Examples

CONTRASTIVE = (
    "caa",
    "probe",
    "repe_pca",
    "persona",
    "diffmean",
    "iti",
    "ablation",
    "angular",
    "icv",
)


def by_hand(desired: Tensor, undesired: Tensor, direction: Tensor) -> tuple[float, float]:
    differences = [(a - b).tolist() for a, b in zip(desired, undesired, strict=True)]

    def cos(x: list[float], y: list[float]) -> float:
        dot = sum(a * b for a, b in zip(x, y, strict=True))
        return dot / (sum(a * a for a in x) * sum(b * b for b in y)) ** 0.5

    cosine = statistics.mean(cos(x, y) for x, y in itertools.combinations(differences, 2))
    size = float(direction.norm())
    plus, minus = ([float(h @ direction) / size for h in side] for side in (desired, undesired))
    spread = ((statistics.variance(plus) + statistics.variance(minus)) / 2) ** 0.5
    return cosine, (statistics.mean(plus) - statistics.mean(minus)) / spread


def test_two_pairs_by_hand() -> None:
    desired, undesired = torch.tensor([[3.0, 0], [2, 2]]), torch.tensor([[0.0, 0], [0, 0]])
    undesired[1, 0] = 1.0
    found = reliability([desired], [undesired], [torch.tensor([5.0, 0.0])])
    # D = (3, 0) and (1, 2); projections 3, 2 against 0, 1
    assert found["cosine"] == pytest.approx(1 / 5**0.5, abs=1e-6)
    assert found["separation"] == pytest.approx(2 / 0.5**0.5, abs=1e-6)
    assert found["pairs"] == 2


def test_means_over_places_are_those_of_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    desired, undesired = (torch.randn(3, 7, 5, generator=generator) for _ in range(2))
    directions = torch.randn(3, 5, generator=generator)
    found = reliability(desired + 0.5, undesired, directions)
    each = [by_hand(*own) for own in zip(desired + 0.5, undesired, directions, strict=True)]
    assert found["cosine"] == pytest.approx(sum(c for c, _ in each) / 3, abs=1e-5)
    assert found["separation"] == pytest.approx(sum(s for _, s in each) / 3, abs=1e-5)


def test_what_is_not_defined_is_missing() -> None:
    x = torch.ones(2, 3)
    assert reliability([x], [torch.zeros(3, 3)], [torch.ones(3)])["cosine"] is None
    assert reliability([x], [x * 0], [torch.ones(3)])["separation"] is None  # nothing varies
    assert reliability([x[:1]], [x[:1]], [torch.ones(3)])["cosine"] is None


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_methods_with_differences_say_it(
    name: str, model: Any, tokenizer: Any, examples: Examples
) -> None:
    vector = get(name).from_settings({"seed": 0}).fit(model, tokenizer, examples)
    found = vector.provenance["reliability"]
    assert -1 <= found["cosine"] <= 1
    assert isinstance(found["separation"], float)
    assert found["pairs"] > 1


def test_of_an_in_context_vector(model: Any, tokenizer: Any, examples: Examples) -> None:
    vector = get("icv").from_settings({"pairs": None}).fit(model, tokenizer, examples)
    sides = paired(contrasted(examples, sorted(questions(examples)), "pairs"))
    wanted, unwanted = (
        last_token_hidden_states(model, tokenizer, [text.whole for text in side]) for side in sides
    )
    each = [
        by_hand(wanted[:, edit.layer + 1], unwanted[:, edit.layer + 1], edit.tensor)
        for edit in vector.edits
    ]
    found = vector.provenance["reliability"]
    assert found["cosine"] == pytest.approx(sum(c for c, _ in each) / len(each), abs=1e-4)
    assert found["separation"] == pytest.approx(sum(s for _, s in each) / len(each), abs=1e-3)


def test_methods_without_differences_say_nothing(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    settings = {"shots": 2, "mean_prompts": 4, "heads": [[0, 0]]}
    vector = get("fv").from_settings(settings).fit(model, tokenizer, examples)
    assert "reliability" not in vector.provenance
