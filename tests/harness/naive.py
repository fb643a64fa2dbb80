"""Steering by definition: one row, no padding, no cache, one whole forward pass per token."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from steering import SteeringVector


def steered(kind: str, length: int, prompt: int) -> list[bool]:
    """Which of `length` tokens are steered, `prompt` of them being the prompt."""
    rules = {
        "all": lambda i: True,
        "prompt": lambda i: i < prompt,
        "last_prompt": lambda i: i == prompt - 1,
        "continuation": lambda i: i >= prompt - 1,
        "generated": lambda i: i >= prompt,
    }
    return [rules[kind](i) for i in range(length)]


@torch.no_grad()
def logits(model: nn.Module, vector: SteeringVector | None, row: list[int], prompt: int) -> Tensor:
    """Logits (s, vocabulary) of one row, for `add` edits at block outputs."""

    def edited(edit):
        where = torch.tensor(steered(edit.positions, len(row), prompt))[:, None]

        def hook(module, arguments, output):
            hidden = output[0] if isinstance(output, tuple) else output
            moved = hidden + where * (vector.coefficient * edit.tensor)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return hook

    with ExitStack() as stack:
        for edit in vector.edits if vector else ():
            block = model.model.layers[edit.layer]
            stack.callback(block.register_forward_hook(edited(edit)).remove)
        return model(torch.tensor([row]), use_cache=False).logits[0]


def greedy(
    model: nn.Module,
    vector: SteeringVector | None,
    prompt: list[int],
    steps: int,
    end: int | None = None,
) -> list[int]:
    """The greedy continuation of a prompt, which ends before its last tokens if `end` says so."""
    row = list(prompt)
    for _ in range(steps):
        row.append(int(logits(model, vector, row, end or len(prompt))[-1].argmax()))
    return row[len(prompt) :]


def log_prob(
    model: nn.Module,
    vector: SteeringVector | None,
    prompt: list[int],
    answer: list[int],
    end: int | None = None,
) -> float:
    """Sum of the log-probabilities of the answer's tokens."""
    total = 0.0
    for i, token in enumerate(answer):
        last = logits(model, vector, prompt + answer[:i], end or len(prompt))[-1]
        total += float(last.double().log_softmax(-1)[token])
    return total
