"""What published code of methods computes on the two small checkpoints of `tests/oracle`.

`tests/oracle/methods/<method>/<checkpoint>` holds texts, settings and the code's numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from steering import SteeringVector

ROOT = Path(__file__).parents[2] / "oracle"


@cache
def loaded(name: str) -> tuple[Any, Any]:
    folder = ROOT / name / "checkpoint"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


@dataclass
class Case:
    """One method on one checkpoint."""

    name: str
    model: Any
    tokenizer: Any
    inputs: dict[str, Any]
    expected: dict[str, torch.Tensor]

    def ids(self, text: str, bos: bool = False) -> torch.Tensor:
        found = self.tokenizer.encode(text)
        if bos and found[:1] != [self.tokenizer.bos_token_id]:
            found = [self.tokenizer.bos_token_id, *found]
        return torch.tensor([found])

    @torch.no_grad()
    def logits(
        self,
        ids: torch.Tensor,
        vector: SteeringVector | None = None,
        coefficient: float | None = None,
        prompt: int | None = None,
    ) -> torch.Tensor:
        """Logits (s, v) of a text, steered; its first `prompt` tokens count as the prompt."""
        if vector is None:
            return self.model(ids).logits[0]
        end, total = torch.tensor([prompt or ids.shape[1]]), torch.tensor([ids.shape[1]])
        with vector.attached(self.model, coefficient) as attached, attached.lengths(end, total):
            return self.model(ids).logits[0]

    def agrees(self, found: torch.Tensor, key: str, row: Any = None) -> None:
        """Compare with the code's numbers: vectors within 1e-5, logits within 1e-4."""
        expected = self.expected[key]
        expected = expected if row is None else expected[row]
        if "every10" in key:
            found = found[:, ::10]
        assert found.shape == expected.shape
        tolerance = 1e-4 if "logits" in key else 1e-5
        assert (found.double() - expected.double()).abs().max().item() <= tolerance, key


@pytest.fixture(params=["llama", "gpt-j"])
def case(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes the case of a method on one of the checkpoints."""

    def make(method: str) -> Case:
        folder = ROOT / "methods" / method / request.param
        return Case(
            request.param,
            *loaded(request.param),
            json.loads((folder / "inputs.json").read_text(encoding="utf-8")),
            load_file(folder / "expected.safetensors"),
        )

    return make
