"""Where a prompt ends: the same token in fits, in steered generation and in steered scoring."""

from __future__ import annotations

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.lm.adapter import SteeredLM
from steering import POSITIONS, Edit, SteeringVector, mean_head_activations, prompt_ids, resolve
from steering.hooks import capture
from steering.tokens import answer_ids, encode_pair, encoder
from tests.harness import naive
from tests.harness.templates import TEMPLATES, save, tokenizer

QUESTIONS = ("hot", "a b c", "big?", "to be")
PLAIN = ("Q: {}\nA:", "Q: {}\nA: ", "Q: {}\nA:\n", "Q: {}\n\n", "{} -> ", "{}\n \n")
STEPS = 6


@pytest.fixture(scope="module", params=[*TEMPLATES, *PLAIN])
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SteeredLM, list[str]]:
    chat = request.param in TEMPLATES
    folder = save(tmp_path_factory.mktemp("model"), request.param if chat else None)
    lm = SteeredLM(str(folder), device="cpu", dtype="float32", batch_size=4)
    if not chat:
        return lm, [request.param.format(question) for question in QUESTIONS]
    return lm, [lm.apply_chat_template([{"role": "user", "content": q}]) for q in QUESTIONS]


def vector(positions: str, seed: int = 0) -> SteeringVector:
    generator = torch.Generator().manual_seed(seed)
    tensors = [2 * torch.randn(32, generator=generator) for _ in range(2)]
    edits = (Edit("block_output", i, "add", t, positions) for i, t in enumerate(tensors))
    return SteeringVector(tuple(edits), 1.0, "raw", {"method": "test"})


def instances(kind: str, *arguments: tuple[object, ...]) -> list[Instance]:
    return [
        Instance(request_type=kind, doc={}, arguments=a, idx=i, metadata=("t", i, 1))
        for i, a in enumerate(arguments)
    ]


@pytest.mark.parametrize("positions", POSITIONS)
def test_what_steered_generation_writes_is_scored_as_greedy(
    asked: tuple[SteeredLM, list[str]], positions: str
) -> None:
    lm, prompts = asked
    # a text whose own tokens are others than those written is another question: some vectors make
    # nothing else
    assert sum(_agreeing(lm, prompts, vector(positions, seed)) for seed in range(3))


def _agreeing(lm: SteeredLM, prompts: list[str], steer: SteeringVector) -> int:
    """How many texts are scored as they were written; the others must be other questions."""
    kept = 0
    settings = {"until": ["\x00"], "max_gen_toks": STEPS}
    ends = [len(ids) for ids in prompt_ids(lm.tokenizer, prompts)]
    with lm.steer(steer):
        written = lm.generate_until(instances("generate_until", *((p, settings) for p in prompts)))
        scored = lm.loglikelihood(instances("loglikelihood", *zip(prompts, written, strict=True)))
    for prompt, end, text, (score, greedy) in zip(prompts, ends, written, scored, strict=True):
        read = lm.tok_encode(prompt)
        ids = naive.greedy(lm.model, steer, read, STEPS, end)
        assert lm.tok_decode(ids) == text
        if lm.tok_encode(prompt + text) != [*read, *ids]:
            continue
        kept += 1
        assert greedy
        context = lm.tok_encode(prompt.rstrip())  # lm-eval scores the white space too
        row = [*read, *ids]
        expected = naive.log_prob(lm.model, steer, row[: len(context)], row[len(context) :], end)
        assert score == pytest.approx(expected, abs=1e-3)
    return kept


def test_a_fit_reads_the_token_at_which_scoring_begins_to_steer(
    asked: tuple[SteeredLM, list[str]],
) -> None:
    lm, prompts = asked
    found = mean_head_activations(lm.model, lm.tokenizer, prompts, batch_size=2)
    layout, states = resolve(lm.model), []
    for prompt in prompts:
        pair = lm.encoding.pair(prompt, "word")
        assert prompt_ids(lm.tokenizer, [prompt]) == [pair.prompt]
        inputs = {"input_ids": torch.tensor([[*pair.prompt, *pair.answer]])}
        last = pair.end - 1
        states.append(
            capture(lm.model, inputs, lambda x, last=last: x[:, last], site="head_output")
        )
    expected = layout.split_heads(torch.cat(states).mean(dim=0), 0)
    assert torch.allclose(found, expected, atol=1e-5)


def test_unsteered_log_probabilities_are_those_of_hf(asked: tuple[SteeredLM, list[str]]) -> None:
    lm, prompts = asked
    plain = HFLM(lm.model, tokenizer=lm.tokenizer, batch_size=4, device="cpu")
    pairs = [(p, answer) for p in prompts for answer in ("word", " word", "two words", "7")]
    ours, theirs = (one.loglikelihood(instances("loglikelihood", *pairs)) for one in (lm, plain))
    assert [score for score, _ in ours] == [score for score, _ in theirs]
    assert all(mine or not hf for (_, mine), (_, hf) in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("kind", "prompt", "answer", "ends_in", "begins_with"),
    [
        (None, "A:", " cold", ":", " c"),
        (None, "A: ", "cold", ":", " c"),
        (None, "A: ", "7", ":", " "),  # a blank stays alone before a digit, but not before a word
        (None, "A:\n", "cold", "\n", "c"),
        (None, "A:\n\n", "cold", ":", "\n"),  # two newlines are one token until a word follows
        ("llama-3", "A:\n\n", "cold", "\n\n", "c"),
        ("llama-3", "A: ", "cold", ":", " c"),
        ("chatml", "<|im_start|>assistant\n", "cold", "\n", "c"),
        ("chatml", "<|im_start|>assistant\n", " cold", "\n", " c"),
        ("chatml", "<|im_start|>assistant\n", "\ncold", "\n", "\n"),
    ],
)
def test_the_end_of_a_prompt(
    kind: str | None, prompt: str, answer: str, ends_in: str, begins_with: str
) -> None:
    tokens = tokenizer(kind)
    ((asked,), (wanted,)) = answer_ids(tokens, [prompt], [answer])
    assert tokens.decode(asked + wanted) == prompt + answer
    assert (tokens.decode(asked[-1:]), tokens.decode(wanted[:1])) == (ends_in, begins_with)


def test_marks_that_swallow_the_white_space_after_them() -> None:
    tokens = tokenizer("phi-3")
    pair = encode_pair(encoder(tokens), "<|assistant|>\n", "cold")
    assert tokens.convert_ids_to_tokens(pair.prompt) == ["<|assistant|>"]
    assert tokens.decode(pair.answer) == "cold"
