"""Sampled and beam-searched answers: whatever the batch, the order and what was asked before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments
from harness.lm.sampling import Draws
from tests.harness.lm.test_vectors import PROMPTS, TASKS, vectors

SAMPLED = {"do_sample": True, "temperature": 0.8}
SETTINGS = {
    "sampling": SAMPLED,
    "nucleus": {**SAMPLED, "top_p": 0.7, "top_k": 5},
    "default temperature": {"do_sample": True},
    "beams": {"num_beams": 3},
    "sequences": {**SAMPLED, "num_return_sequences": 3},
    "several beams returned": {"num_beams": 4, "num_return_sequences": 2},
    "sampled beams": {**SAMPLED, "num_beams": 2},
}


def asked(settings: dict[str, Any], until: str = "\x00", tokens: int = 10) -> list[Instance]:
    own = {"until": [until], "max_gen_toks": tokens, **settings}
    places = [(task, i, prompt) for task in TASKS for i, prompt in enumerate(PROMPTS)]
    return [
        Instance("generate_until", {}, (prompt, own), 0, (task, i, 1)) for task, i, prompt in places
    ]


@pytest.fixture(scope="module", params=[1, 3, 20])
def lm(request: pytest.FixtureRequest, checkpoint: Path) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32", batch_size=request.param)


@pytest.fixture(scope="module")
def alone(checkpoint: Path) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32", batch_size=1)


@pytest.mark.parametrize("name", SETTINGS)
def test_any_batch_and_order_gives_what_each_document_gets_alone(
    lm: SteeredLM, alone: SteeredLM, name: str
) -> None:
    requests = asked(SETTINGS[name], until="a")
    expected = {}
    for request in requests:
        torch.rand(3)  # the global stream of random numbers is not what is drawn from
        with alone.steer(vectors().get(str(request.task_name))):
            (answer,) = alone.generate_until([request])
        expected[request.task_name, request.doc_id] = answer
    with lm.steer_each(vectors()):
        backwards = requests[::-1]
        for order in (requests, backwards):
            answers = lm.generate_until(order)
            found = {(r.task_name, r.doc_id): a for r, a in zip(order, answers, strict=True)}
            assert found == expected
    assert len(set(expected.values())) > len(PROMPTS)


def test_seeds_and_repeats_draw_anew(alone: SteeredLM) -> None:
    request = asked(SAMPLED)[0]
    seeds = []
    for seed in (0, 1, 0):
        alone.sampling_seed = seed
        seeds.append(alone.generate_until([request] * 3))
    alone.sampling_seed = None
    assert seeds[0] == seeds[2]
    assert len({*seeds[0], *seeds[1]}) == 6, "each repeat and each seed is a draw of its own"


def test_lm_evals_seed_reaches_sampling(alone: SteeredLM) -> None:
    found = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        found.append(alone.generate_until(asked(SAMPLED)))
    assert found[0] == found[2] != found[1]


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    with Draws(0, [f"document {i}" for i in range(4000)]):
        drawn = torch.multinomial(probabilities.expand(4000, 5), num_samples=1)
    counts = Counter(drawn.flatten().tolist())
    for i, p in enumerate(probabilities.tolist()):
        assert counts[i] / 4000 == pytest.approx(p, abs=4 * (p * (1 - p) / 4000) ** 0.5)


def test_draws_without_replacement_differ_and_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    with Draws(0, [f"document {i}" for i in range(4000)]):
        drawn = torch.multinomial(probabilities.expand(4000, 3), num_samples=2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    both = Counter(map(tuple, drawn.tolist()))
    expected = 0.6 * 0.3 / 0.4  # the second among what the first left
    assert both[0, 1] / 4000 == pytest.approx(expected, abs=0.03)


def test_beams_are_those_of_transformers(alone: SteeredLM, checkpoint: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    for request in asked({"num_beams": 3})[: len(PROMPTS)]:
        inputs = tokenizer(request.args[0], return_tensors="pt")
        own = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        whole = model.generate(**own, num_beams=3, max_new_tokens=10, do_sample=False)
        text = tokenizer.decode(whole[0, own["input_ids"].shape[1] :], skip_special_tokens=True)
        assert alone.generate_until([request]) == [text]


def test_settings_that_ask_for_more_than_tokens_give_the_same_tokens(alone: SteeredLM) -> None:
    plain = alone.generate_until(asked({}))
    assert alone.generate_until(asked({"return_dict_in_generate": True})) == plain
    own = alone.model.generation_config
    own.return_dict_in_generate = own.output_scores = True
    try:
        assert alone.generate_until(asked({})) == plain
    finally:
        own.return_dict_in_generate = own.output_scores = False


@pytest.mark.parametrize(
    "settings",
    [{"num_beams": 0}, {"num_beams": -1}, {"num_return_sequences": 0}, {"num_beams": 1.5},
     {"do_sample": "maybe"}, {"do_sample": True, "top_p": 7}, {"do_sample": True, "top_p": 0},
     {"max_gen_toks": 0}, {"max_gen_toks": -3}],
    ids=str,
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(alone: SteeredLM, settings: dict[str, Any]) -> None:
    name, value = list(settings.items())[-1]
    with pytest.raises(BadArguments, match=f"{name}={value!r}") as caught:
        alone.generate_until(asked(settings))
    assert "\n" not in str(caught.value)


def test_a_cache_that_this_machine_cannot_have_is_refused(alone: SteeredLM) -> None:
    if torch.cuda.is_available():
        pytest.skip("from a GPU, which this machine has, a cache can be offloaded")
    with pytest.raises(BadArguments, match="cache_implementation='offloaded'"):
        alone.generate_until(asked({"cache_implementation": "offloaded"}))


@pytest.mark.parametrize("schedule", ["auto:4", "auto:3", "auto"])
@pytest.mark.parametrize("documents", [1, 2, 11])
def test_automatic_batches_with_few_documents(
    checkpoint: Path, schedule: str, documents: int
) -> None:
    lm = SteeredLM(
        str(checkpoint), device="cpu", dtype="float32", batch_size=schedule, max_batch_size=3
    )
    lm.logits_cache = False
    asked = [
        Instance("loglikelihood", {}, ("Q: x\nA:", " yes" * (i + 1)), 0, ("one", i, 1))
        for i in range(documents)
    ]
    plain = SteeredLM(str(checkpoint), device="cpu", dtype="float32", batch_size=2)
    for found, expected in zip(lm.loglikelihood(asked), plain.loglikelihood(asked), strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
