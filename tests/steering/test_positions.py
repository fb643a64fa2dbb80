"""Which tokens are edited, written out by hand."""

from __future__ import annotations

import pytest
import torch

from steering.positions import follows_the_beginning, is_known, mask

RIGHT = {"prompt_lengths": torch.tensor([2, 1]), "lengths": torch.tensor([4, 3])}
LEFT = torch.tensor([[0, 1, 1], [1, 1, 1]])


def rows(kind: str, **facts: object) -> list[str]:
    found = mask(kind, **facts)  # type: ignore[arg-type]
    return ["".join("x" if token else "." for token in row) for row in found.tolist()]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("all", ["xxxx.", "xxx.."]),
        ("prompt", ["xx...", "x...."]),
        ("last_prompt", [".x...", "x...."]),
        ("continuation", [".xxx.", "xxx.."]),
        ("generated", ["..xx.", ".xx.."]),
    ],
)
def test_right_padded_scoring_rows(kind: str, expected: list[str]) -> None:
    assert rows(kind, width=5, past=0, **RIGHT) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("all", [".xx", "xxx"]),
        ("prompt", [".xx", "xxx"]),
        ("last_prompt", ["..x", "..x"]),
        ("continuation", ["..x", "..x"]),
        ("generated", ["...", "..."]),
    ],
)
def test_left_padded_prompts(kind: str, expected: list[str]) -> None:
    assert rows(kind, width=3, past=0, attention_mask=LEFT, prompt_width=3) == expected
    assert rows(kind, width=3, past=0, attention_mask=LEFT) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("all", "x"),
        ("prompt", "."),
        ("last_prompt", "."),
        ("continuation", "x"),
        ("generated", "x"),
    ],
)
def test_a_step_after_the_prompt(kind: str, expected: str) -> None:
    assert rows(kind, width=1, past=3, prompt_width=3) == [expected]


def test_right_padded_prompts_of_a_plain_pass() -> None:
    attention_mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert rows("last_prompt", width=3, past=0, attention_mask=attention_mask) == [".x.", "..x"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("prompt[0]", ["x....", "x...."]),
        ("prompt[1]", [".x...", "....."]),  # the second row's prompt has one token
        ("prompt[-1]", [".x...", "x...."]),
        ("prompt[-2]", ["x....", "....."]),
        ("middle[0]", [".x...", "x...."]),
        ("middle[-1]", ["x....", "....."]),
    ],
)
def test_single_tokens_of_right_padded_rows(kind: str, expected: list[str]) -> None:
    assert rows(kind, width=5, past=0, **RIGHT) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("prompt[0]", [".x.", "x.."]),
        ("prompt[2]", ["...", "..x"]),
        ("prompt[-2]", [".x.", ".x."]),
        ("middle[0]", ["..x", ".x."]),
    ],
)
def test_single_tokens_of_left_padded_prompts(kind: str, expected: list[str]) -> None:
    assert rows(kind, width=3, past=0, attention_mask=LEFT, prompt_width=3) == expected
    assert rows(kind, width=3, past=0, attention_mask=LEFT) == expected
    wider = torch.cat([LEFT, torch.ones(2, 1, dtype=LEFT.dtype)], dim=1)
    step = rows(kind, width=1, past=3, attention_mask=wider, prompt_width=3)
    assert step == [".", "."]


def test_a_token_may_lie_behind_a_cached_beginning() -> None:
    assert rows("prompt[3]", width=3, past=2, prompt_width=5) == [".x."]
    assert rows("prompt[1]", width=3, past=2, prompt_width=5) == ["..."]


def test_what_a_beginning_decides() -> None:
    assert all(map(follows_the_beginning, ("all", "prompt", "generated", "prompt[4]")))
    assert not any(map(follows_the_beginning, ("prompt[-1]", "middle[0]")))
    assert not any(map(is_known, ("prompt[]", "prompt[x]", "token[1]", "prompt[1]x", 3)))
