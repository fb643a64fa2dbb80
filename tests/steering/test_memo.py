"""What fits of a block share changes none of them, whatever each does with what it gets."""

from __future__ import annotations

from typing import Any

import torch

from steering import get, names, remembering
from steering.memo import recall
from task_defs import Examples

QUICK: dict[str, dict[str, Any]] = {
    "fv": {"mean_prompts": 6, "effect_prompts": 3},
    "fv_distributed": {"mean_prompts": 6, "effect_prompts": 3},
    "instruction_fv": {"mean_prompts": 6, "effect_prompts": 3},
    "learned": {"steps": 3},
}
METHODS = [name for name in names() if not get(name).control]


def test_no_method_changes_what_another_one_reads(
    model: Any, tokenizer: Any, examples: Examples
) -> None:
    def tensors(name: str) -> list[torch.Tensor]:
        method = get(name).from_settings(QUICK.get(name, {}))
        return [edit.tensor for edit in method.fit(model, tokenizer, examples).edits]

    alone = {name: tensors(name) for name in METHODS}
    with remembering():
        for name in [*METHODS, *METHODS]:  # before and after every other one
            for own, shared in zip(alone[name], tensors(name), strict=True):
                assert torch.equal(own, shared), name


def test_what_is_recalled_is_computed_once_and_is_the_callers_own() -> None:
    calls = []

    def compute() -> torch.Tensor:
        calls.append(1)
        return torch.ones(2)

    with remembering():
        for _ in range(3):
            found = recall("key", compute)
            assert torch.equal(found, torch.ones(2))
            found += 1
    assert len(calls) == 1
