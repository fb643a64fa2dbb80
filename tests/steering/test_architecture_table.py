"""The page of architectures says what the code does."""

from __future__ import annotations

import pytest
import torch

from tests.harness.architectures import NAMES, row, table

QUICK = {
    "afmoe", "bamba", "diffllama", "falcon_h1", "gemma3-vision", "gemma3n", "gemma4", "jamba",
    "lfm2", "mamba", "nemotron_h", "openai-gpt",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_row(name: str) -> None:
    torch.set_num_threads(1)
    assert table()[name] == row(name)


def test_every_architecture_has_its_row() -> None:
    assert sorted(table()) == NAMES
    assert len(NAMES) >= 40
