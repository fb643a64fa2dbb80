"""SteeredLM against lm-eval's own HFLM, and against a loop that knows nothing of either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.lm.adapter import SilentNoOp, SteeredLM
from harness.lm.arguments import BadArguments
from steering import POSITIONS, Edit, NotFinite, SteeringVector
from tests.harness.naive import greedy, log_prob, logits

PROMPTS = ("Q: hot\nA:", "Q: a much longer question?\nA:", "x", "Q: big\nA:", "ab, ab, ab,")
WITHIN = 1e-4  # of a sum over 12 tokens in float32


def requests(kind: str, *arguments: tuple[object, ...]) -> list[Instance]:
    return [
        Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)
    ]


SCORING = requests(
    "loglikelihood",
    *((prompt, answer) for prompt in PROMPTS for answer in ("c", "d", " n", " a longer answer\n")),
    ("", "no context"),
    ("ends in blanks  ", "word"),
    ("a", "b"),
    ("a" * 60, "b" * 60),  # longer than the model: cut from the left
)
ROLLING = requests("loglikelihood_rolling", ("short text",), ("a long text, " * 20,))
GENERATION = requests(
    "generate_until", *((p, {"until": ["\n"], "max_gen_toks": 12}) for p in PROMPTS)
)


def vector(
    positions: str, coefficient: float = 1.0, layers: tuple[int, ...] = (0, 2)
) -> SteeringVector:
    generator = torch.Generator().manual_seed(7)
    edits = tuple(
        Edit("block_output", layer, "add", 2 * torch.randn(32, generator=generator), positions)
        for layer in layers
    )
    return SteeringVector(edits, coefficient=coefficient, provenance={"method": "test"})


def load(checkpoint: Path, **arguments: object) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32", **arguments)


@pytest.fixture(scope="module")
def lm(checkpoint: Path) -> SteeredLM:
    return load(checkpoint, batch_size=4)


@pytest.mark.parametrize("batch_size", [1, 4, 7, "auto"])
@pytest.mark.parametrize("steered", [False, True], ids=["unsteered", "coefficient 0"])
def test_answers_are_those_of_hf_to_the_last_bit(
    checkpoint: Path, batch_size: int | str, steered: bool
) -> None:
    arguments = {"device": "cpu", "dtype": "float32", "batch_size": batch_size}
    plain = HFLM(str(checkpoint), max_batch_size=8, **arguments)
    ours = SteeredLM(
        str(checkpoint),
        max_batch_size=8,
        **arguments,
        **({"vector": vector("all"), "coefficient": 0.0} if steered else {}),
    )
    assert ours.loglikelihood(SCORING) == plain.loglikelihood(SCORING)
    assert ours.loglikelihood_rolling(ROLLING) == plain.loglikelihood_rolling(ROLLING)
    assert ours.generate_until(GENERATION) == plain.generate_until(GENERATION)
    if steered:
        assert ours.proof["max_logit_change"] == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("logits_cache", [True, False])
def test_softmax_dtype_and_merging_follow_hf(
    checkpoint: Path, dtype: str, logits_cache: bool
) -> None:
    arguments = {
        "device": "cpu",
        "dtype": dtype,
        "softmax_dtype": "float32",
        "batch_size": 4,
        "logits_cache": logits_cache,
    }
    plain = HFLM(str(checkpoint), **arguments)
    assert SteeredLM(str(checkpoint), **arguments).loglikelihood(SCORING) == plain.loglikelihood(
        SCORING
    )


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("positions", POSITIONS)
def test_scoring_agrees_with_generation_and_with_the_naive_loop(
    lm: SteeredLM, positions: str, batch_size: int
) -> None:
    steer = vector(positions)
    lm.batch_size_per_gpu = batch_size
    prompts = [(p, {"until": ["\x00"], "max_gen_toks": 12}) for p in PROMPTS]
    unsteered = lm.generate_until(requests("generate_until", *prompts))
    with lm.steer(steer):
        written = lm.generate_until(requests("generate_until", *prompts))
        scored = lm.loglikelihood(requests("loglikelihood", *zip(PROMPTS, written, strict=True)))
    assert [len(text) for text in written] == [12] * len(PROMPTS)
    assert written != unsteered
    for prompt, text, (score, is_greedy) in zip(PROMPTS, written, scored, strict=True):
        ids = lm.tok_encode(prompt), lm.tok_encode(text)
        assert ids[1] == greedy(lm.model, steer, ids[0], 12)
        assert is_greedy
        assert score == pytest.approx(log_prob(lm.model, steer, *ids), abs=WITHIN)


@pytest.mark.parametrize("positions", POSITIONS)
def test_requests_with_one_input_but_two_prompts_are_scored_apart(
    lm: SteeredLM, positions: str
) -> None:
    pairs = [("abc", "def"), ("abcd", "ef"), ("abcde", "f"), ("abcde", "g")]
    steer = vector(positions)
    with lm.steer(steer):
        scores = lm.loglikelihood(requests("loglikelihood", *pairs))
    for (prompt, answer), (score, _) in zip(pairs, scores, strict=True):
        naive = log_prob(lm.model, steer, lm.tok_encode(prompt), lm.tok_encode(answer))
        assert score == pytest.approx(naive, abs=WITHIN)


def test_one_input_with_two_prompts_equals_hf_without_merging(
    lm: SteeredLM, checkpoint: Path
) -> None:
    pairs = requests("loglikelihood", ("abc", "def"), ("abcd", "ef"), ("abcde", "f"))
    plain = HFLM(str(checkpoint), device="cpu", dtype="float32", batch_size=4, logits_cache=False)
    lm.batch_size_per_gpu = 4
    assert lm.loglikelihood(pairs) == plain.loglikelihood(pairs)


@pytest.mark.parametrize("positions", ["all", "last_prompt", "continuation", "generated"])
def test_rolling_counts_the_first_token_as_the_prompt(lm: SteeredLM, positions: str) -> None:
    text = "a text of one window"
    steer = vector(positions)
    with lm.steer(steer):
        (score,) = lm.loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    naive = log_prob(lm.model, steer, [lm.prefix_token_id], lm.tok_encode(text))
    assert score == pytest.approx(naive, abs=WITHIN)


def test_proof_is_the_change_of_a_real_row(lm: SteeredLM) -> None:
    steer = vector("continuation")
    with lm.steer(steer):
        lm.loglikelihood(requests("loglikelihood", ("Q: hot\nA:", " cold")))
    prompt, answer = lm.tok_encode("Q: hot\nA:"), lm.tok_encode(" cold")
    row = prompt + answer[:-1]
    change = logits(lm.model, steer, row, len(prompt)) - logits(lm.model, None, row, len(prompt))
    assert lm.proof["max_logit_change"] == pytest.approx(float(change.abs().max()), rel=1e-5)
    assert lm.proof["calls"] == 2  # the probe and the batch


def test_a_vector_of_zeros_is_an_error(lm: SteeredLM) -> None:
    nothing = SteeringVector((Edit("block_output", 1, "add", torch.zeros(32), "all"),))
    for method, batch in (("loglikelihood", SCORING), ("generate_until", GENERATION)):
        with lm.steer(nothing), pytest.raises(SilentNoOp, match="steering changed nothing"):
            getattr(lm, method)(batch)


def test_logits_that_are_not_finite_are_an_error(lm: SteeredLM) -> None:
    huge = SteeringVector((Edit("block_output", 1, "add", torch.full((32,), 1e30), "all"),))
    with lm.steer(huge, coefficient=1e20), pytest.raises(NotFinite, match="lower the coefficient"):
        lm.loglikelihood(SCORING)


def test_positions_that_begin_after_the_only_token_are_an_error(lm: SteeredLM) -> None:
    single = requests("loglikelihood", ("Q: hot\nA:", "c"), ("Q: big\nA:", "s"))
    with lm.steer(vector("generated")), pytest.raises(SilentNoOp, match="one token"):
        lm.loglikelihood(single)


def test_blocks_nest_and_leave_the_model_as_it_was(lm: SteeredLM) -> None:
    baseline = lm.loglikelihood(SCORING)
    with lm.steer(vector("all")):
        outer = lm.loglikelihood(SCORING)
        with lm.steer(None):
            assert lm.loglikelihood(SCORING) == baseline
        with lm.steer(vector("all"), coefficient=0.5):
            assert lm.loglikelihood(SCORING) not in (outer, baseline)
        assert lm.loglikelihood(SCORING) == outer
    with lm.steer(vector("all")), pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    assert lm.loglikelihood(SCORING) == baseline
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lm.model.modules())


def test_a_saved_vector_steers_like_the_one_in_memory(
    lm: SteeredLM, checkpoint: Path, tmp_path: Path
) -> None:
    steer = vector("continuation")
    steer.save_pretrained(tmp_path / "vec")
    lm.batch_size_per_gpu = 4
    with lm.steer(steer, coefficient=2.0):
        expected = lm.loglikelihood(SCORING)
    loaded = load(checkpoint, batch_size=4, vector=str(tmp_path / "vec"), coefficient=2.0)
    assert loaded.loglikelihood(SCORING) == expected


def test_model_info_says_what_steered(lm: SteeredLM) -> None:
    assert lm.get_model_info()["steering"] is None
    with lm.steer(vector("continuation", coefficient=3.0)):
        lm.loglikelihood(SCORING)
        block = json.loads(json.dumps(lm.get_model_info()["steering"]))
    assert block["coefficient"] == 3.0
    assert block["layers"] == [0, 2]
    assert block["positions"] == ["continuation"]
    assert block["provenance"]["method"] == "test"
    assert block["proof"]["calls"] > 0
    assert block["proof"]["max_logit_change"] > 0


def test_chat_templates_and_device_map_are_those_of_hf(checkpoint: Path) -> None:
    chat = [{"role": "user", "content": "hot"}]
    arguments = {"dtype": "float32", "device": "cpu", "batch_size": 4, "device_map": "cpu"}
    ours = SteeredLM(str(checkpoint), vector=vector("all"), coefficient=0.0, **arguments)
    plain = HFLM(str(checkpoint), **arguments)
    assert ours.apply_chat_template(chat) == plain.apply_chat_template(chat)
    assert ours.loglikelihood(SCORING) == plain.loglikelihood(SCORING)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coeficient": 2}, "Did you mean 'coefficient'"),
        ({"batchsize": 2}, "Did you mean 'batch_size'"),
        ({"coefficient": 2.0}, "without a vector"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    checkpoint: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(BadArguments, match=message) as caught:
        load(checkpoint, **arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_argument_is_refused_for_a_loaded_model(lm: SteeredLM) -> None:
    with pytest.raises(BadArguments, match="no argument 'nonsense'"):
        SteeredLM(lm.model, tokenizer=lm.tokenizer, nonsense=1)
