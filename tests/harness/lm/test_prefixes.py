"""Prompts that begin alike, answered after one shared prefix, against lm-eval's own `hf`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

import harness.lm.prefixes
from harness.lm.adapter import SteeredLM
from harness.lm.prefixes import LEAST_ROWS, LEAST_TOKENS, by_prefix
from harness.lm.scoring import Row, rows
from steering import Edit, SteeringVector, resolve
from tests.harness.zoo import CONFIGS, save

SHOTS = "Q: hot\nA: cold\n\nQ: big\nA: small\n\nQ: up\nA: down\n\n"
OTHER = "Q: one\nA: two\n\nQ: five\nA: six\n\nQ: seven\nA: eight\n\n"
ASKED = [
    (shots + f"Q: {question}\nA:", answer)
    for shots in (SHOTS, OTHER)
    for question in ("a", "bc", "def", "g", "hi", "jkl")
    for answer in (" x", " yz")
] + [("Q: alone\nA:", " so"), (SHOTS + "Q: much longer than that " * 3 + "\nA:", " no")]
SCORING = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(ASKED)]


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save(request.param, tmp_path_factory.mktemp(request.param))


def load(kind: type[HFLM], folder: Path) -> Any:
    return kind(str(folder), device="cpu", dtype="float32", batch_size=5)


def vector(model: Any, positions: str) -> SteeringVector:
    noise = torch.randn(resolve(model).hidden_size, generator=torch.Generator().manual_seed(0))
    edits = [Edit("block_output", la, "norm_preserving_add", noise, positions) for la in (0, 2)]
    return SteeringVector(tuple(edits), 0.5)


class Counting:
    """Tokens that a model reads."""

    def __init__(self, model: Any) -> None:
        self.tokens, self.widths = 0, set[int]()
        resolve(model).blocks[0].register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _block: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = inputs[0] if inputs else kwargs["hidden_states"]
        self.tokens += x.shape[0] * x.shape[1]
        self.widths.add(x.shape[1])


def close(found: list[Any], expected: list[Any]) -> None:
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    scores = [torch.tensor([score for score, _ in each]) for each in (found, expected)]
    torch.testing.assert_close(*scores, atol=1e-4, rtol=1e-5)


def test_unsteered_scores_are_those_of_hf_for_fewer_tokens(folder: Path) -> None:
    plain, ours = load(HFLM, folder), load(SteeredLM, folder)
    before, after = Counting(plain.model), Counting(ours.model)
    close(ours.loglikelihood(SCORING), plain.loglikelihood(SCORING))
    assert ours._prefixes.hold, "no architecture of the matrix loses its prefixes unnoticed"
    assert after.tokens < 0.6 * before.tokens


@pytest.mark.parametrize("positions", ["all", "prompt", "last_prompt", "continuation", "generated"])
def test_steered_scores_are_those_of_whole_rows(
    folder: Path, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load(SteeredLM, folder)
    with ours.steer(vector(ours.model, positions)):
        shared = ours.loglikelihood(SCORING)
        monkeypatch.setattr(harness.lm.prefixes, "by_prefix", lambda every, *_: [(0, list(every))])
        whole = ours.loglikelihood(SCORING)
    close(shared, whole)
    assert shared != ours.loglikelihood(SCORING)


def test_a_model_that_continues_prefixes_wrongly_reads_whole_rows(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, ours = load(HFLM, checkpoint), load(SteeredLM, checkpoint)
    right = harness.lm.prefixes.continued
    monkeypatch.setattr(harness.lm.prefixes, "continued", lambda *asked: right(*asked) + 1)
    seen = Counting(ours.model)
    close(ours.loglikelihood(SCORING), plain.loglikelihood(SCORING))
    assert ours._prefixes.hold is False
    assert max(seen.widths) > len(SHOTS)


def made(prompts: list[list[int]], answer: list[int], owner: str | None = None) -> list[Row]:
    found = rows([(("", ""), prompt, answer) for prompt in prompts], merge=True)
    return [Row(owner, row.asked) for row in found]


def test_who_shares_what() -> None:
    one, two = list(range(40)), list(range(100, 150))
    few, many = made([[*one, 7, i] for i in range(LEAST_ROWS - 1)], [1]), LEAST_ROWS + 1
    wide = made([[*two, 7, i] for i in range(many)], [1])
    assert by_prefix([*few, *wide], 200) == [(51, wide), (0, few)]
    assert by_prefix(wide, 20) == [(0, wide)], "rows that are cut begin elsewhere"
    long = made([[*one, *range(200, 260 + i)] for i in range(0, 2 * many, 2)], [1])
    assert by_prefix(long, 900)[0][0] == 99, "the last prompt token is everyone's own"
    mixed = [Row("a" if i % 2 else "b", row.asked) for i, row in enumerate(wide)]
    assert by_prefix(mixed, 200) == [(0, mixed)], "prefixes belong to one vector"
    assert (
        by_prefix(made([[*range(LEAST_TOKENS - 2), i] for i in range(many)], [1]), 200)[0][0] == 0
    )
    assert by_prefix([], 200) == []
    owner = wide[0].owner
    assert by_prefix(wide, 200, apart={owner}) == [(0, wide)], "a condition needs whole prompts"
