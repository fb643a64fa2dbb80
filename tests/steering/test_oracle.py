"""Agreement with what the papers' published code computes on two small checkpoints.

`tests/oracle/<architecture>` holds a random checkpoint, the prompts, and the reference's numbers:
mean head activations, indirect effects, the function vector of the three best heads, the ICV
direction, and steered logits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from steering import FunctionVector, InContextVector
from steering.activations import mean_head_activations
from steering.effects import indirect_effects

ROOT = Path(__file__).parent.parent / "oracle"
BOS = "<|endoftext|>"


@dataclass
class Script:
    """Examples that word the reference's prompts in the order in which a fit asks for them."""

    prompts: Iterator[str]
    answers: Iterator[str]
    pairs: Sequence[tuple[str, str]] = field(default=(("a", "b"),) * 30)
    name: str = "script"
    shots: int = 10

    def prompt(self, demonstrations: Sequence[tuple[str, str]], query: str) -> str:
        return next(self.prompts)

    def target(self, y: str) -> str:
        return next(self.answers)

    def demonstration(self, x: str, y: str) -> str:
        raise AssertionError("not asked for by either method's reference settings")

    def fingerprint(self) -> str:
        return "script"


def worded(entry: dict[str, Any]) -> str:
    shown = "".join(f"Q: {x}\nA: {y}\n\n" for x, y in entry["demonstrations"])
    return f"{shown}Q: {entry['query']}\nA:"


@dataclass
class Oracle:
    model: Any
    tokenizer: Any
    inputs: dict[str, Any]
    expected: dict[str, torch.Tensor]

    @property
    def mean_prompts(self) -> list[str]:
        return [worded(entry) for entry in self.inputs["mean_prompts"]]

    @property
    def effect_prompts(self) -> list[str]:
        return [worded(entry) for entry in self.inputs["effect_prompts"]]

    @property
    def answers(self) -> list[str]:
        return [f" {entry['answer']}" for entry in self.inputs["effect_prompts"]]

    @torch.no_grad()
    def logits(self, text: str) -> torch.Tensor:
        begun = text.startswith(BOS)
        ids = self.tokenizer(text, add_special_tokens=not begun, return_tensors="pt")
        return self.model(**ids).logits[0]


@pytest.fixture(params=["llama", "gpt-j"], scope="module")
def oracle(request: pytest.FixtureRequest) -> Oracle:
    folder = ROOT / request.param
    return Oracle(
        AutoModelForCausalLM.from_pretrained(folder / "checkpoint", dtype=torch.float32).eval(),
        AutoTokenizer.from_pretrained(folder / "checkpoint"),
        json.loads((folder / "inputs.json").read_text(encoding="utf-8")),
        load_file(folder / "expected.safetensors"),
    )


def assert_near(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max().item() <= tolerance


def test_prompts_are_worded_as_the_reference_does(oracle: Oracle) -> None:
    assert oracle.mean_prompts[0] == oracle.inputs["first_mean_prompt"].removeprefix(BOS)


def test_mean_head_activations(oracle: Oracle) -> None:
    found = mean_head_activations(oracle.model, oracle.tokenizer, oracle.mean_prompts, bos=True)
    assert_near(found, oracle.expected["mean_head_activations"])


@pytest.mark.parametrize("path", ["staged", "branching", "cached_prefix", "naive"])
def test_indirect_effects(oracle: Oracle, path: Any) -> None:
    means = oracle.expected["mean_head_activations"]
    found = indirect_effects(
        oracle.model, oracle.tokenizer, oracle.effect_prompts, oracle.answers, means, path=path,
        bos=True,
    )  # fmt: skip
    assert_near(found.values, oracle.expected["indirect_effects"])


def test_function_vector(oracle: Oracle) -> None:
    inputs, expected = oracle.inputs, oracle.expected
    method = FunctionVector(
        mean_prompts=len(inputs["mean_prompts"]), effect_prompts=len(inputs["effect_prompts"]),
        top_heads=len(inputs["top_heads"]), layer=inputs["fv_layer"], projection_bias=True,
        bos=True,
    )  # fmt: skip
    script = Script(iter([*oracle.mean_prompts, *oracle.effect_prompts]), iter(oracle.answers))
    vector = method.fit(oracle.model, oracle.tokenizer, script)
    assert sorted(vector.provenance["heads"]) == sorted(inputs["top_heads"])
    assert_near(vector.edits[0].tensor, expected["function_vector"])
    assert_near(oracle.logits(inputs["fv_query"])[-1], expected["fv_plain_logits"], 1e-4)
    with vector.attached(oracle.model):
        steered = oracle.logits(inputs["fv_query"])[-1]
    assert_near(steered, expected["fv_steered_logits"], 1e-4)


def test_in_context_vector(oracle: Oracle) -> None:
    inputs, expected = oracle.inputs, oracle.expected
    pairs = [(undesired, desired) for undesired, desired in inputs["icv_pairs"]]
    method = InContextVector(pairs=None, coefficient=inputs["icv_coefficient"])
    vector = method.fit(oracle.model, oracle.tokenizer, Script(iter(()), iter(()), pairs))
    found = torch.stack([edit.tensor for edit in vector.edits])
    assert [edit.layer for edit in vector.edits] == list(range(len(found)))
    assert_near(found, expected["icv_direction"])
    assert_near(oracle.logits(inputs["icv_text"]), expected["icv_plain_logits"], 1e-4)
    with vector.attached(oracle.model):
        steered = oracle.logits(inputs["icv_text"])
    assert_near(steered, expected["icv_steered_logits"], 1e-4)
