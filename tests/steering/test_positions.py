"""Which tokens are edited, written out by hand."""

from __future__ import annotations

import pytest
import torch

from steering.positions import mask

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
