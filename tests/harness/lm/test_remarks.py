"""Answers and prompts that do not fit: counted, scored as impossible, never a traceback."""

from __future__ import annotations

import math

import pytest
from lm_eval.api.instance import Instance

from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments
from harness.lm.encoding import CUT_PROMPT, LONG_ANSWER, MERGED, NO_TOKEN
from tests.harness.templates import save

LENGTH = 40


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> SteeredLM:
    folder = save(tmp_path_factory.mktemp("model"), "chatml", LENGTH)
    return SteeredLM(str(folder), device="cpu", dtype="float32", batch_size=4)


def scored(
    lm: SteeredLM, *pairs: tuple[str, str]
) -> tuple[list[tuple[float, bool]], dict[str, int]]:
    lm.encoding.remarks.clear()
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0, metadata=("t", i, 1))
        for i, pair in enumerate(pairs)
    ]
    return lm.loglikelihood(requests), dict(lm.encoding.remarks["t"])


@pytest.mark.parametrize("prompt", ["A:", "A: ", "A:\n", "<|im_start|>assistant\n", ""])
def test_an_empty_answer_is_never_right(lm: SteeredLM, prompt: str) -> None:
    answers, remarks = scored(lm, (prompt, ""), ("A:", " c"))
    assert answers[0] == (-math.inf, False)
    assert math.isfinite(answers[1][0])
    assert remarks == {NO_TOKEN: 1}


def test_an_answer_inside_the_last_token_is_scored_with_that_token(lm: SteeredLM) -> None:
    answers, remarks = scored(lm, ("A:q", "u"), ("A:q", "uu"), ("A:", "qu"))
    assert remarks == {MERGED: 2}
    assert answers[0] == answers[2]  # lm-eval finds no token that it could score
    assert all(math.isfinite(score) for score, _ in answers)


def test_an_answer_longer_than_the_context_is_impossible(lm: SteeredLM) -> None:
    answers, remarks = scored(lm, ("A:", "1" * (LENGTH + 1)), ("A:", "1" * LENGTH), ("A:", " c"))
    assert answers[0] == (-math.inf, False)
    assert all(math.isfinite(score) for score, _ in answers[1:])
    assert remarks == {LONG_ANSWER: 1, CUT_PROMPT: 1}


def test_prompts_cut_on_the_left_are_counted(lm: SteeredLM) -> None:
    (long, *_), remarks = scored(lm, ("1" * LENGTH + "A:", " c"), ("A:", " c"), ("1" * LENGTH, "2"))
    assert remarks == {CUT_PROMPT: 1}
    kept = scored(lm, ("1" * (LENGTH - 2) + "A:", " c"))[0][0]
    assert long == pytest.approx(kept, abs=1e-5)


def generated(lm: SteeredLM, prompt: str, tokens: int) -> dict[str, int]:
    lm.encoding.remarks.clear()
    settings = {"until": ["\x00"], "max_gen_toks": tokens}
    request = Instance(
        request_type="generate_until", doc={}, arguments=(prompt, settings), idx=0,
        metadata=("t", 0, 1),
    )  # fmt: skip
    lm.generate_until([request])
    return dict(lm.encoding.remarks.get("t", {}))


def test_prompts_that_leave_no_room_to_write(lm: SteeredLM) -> None:
    assert generated(lm, "1" * 30, 10) == {}
    assert generated(lm, "1" * 31, 10) == {CUT_PROMPT: 1}
    with pytest.raises(BadArguments, match="t writes up to 40 tokens") as caught:
        generated(lm, "A:", LENGTH)
    assert "\n" not in str(caught.value)
