"""How often the first token is right under a replaced state, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from steering.activations import rows
from steering.edit import Edit
from steering.method import Examples
from steering.tokens import prompt_ids
from steering.tracing import input_device
from steering.vector import SteeringVector, attached_by_row


def agrees(prediction: str, answer: str) -> bool:
    """Whether a first token begins an answer, or holds it: both stripped, neither empty."""
    said, wanted = prediction.split("\n")[0].strip(), answer.strip()
    return bool(said and wanted) and (said.startswith(wanted) or wanted.startswith(said))


@torch.no_grad()
def accuracy_by_layer(
    model: Any,
    tokenizer: Any,
    examples: Examples,
    items: Sequence[tuple[str, str]],
    states: Sequence[Tensor],
) -> Tensor:
    """Share of items whose first token is right, the state replaced at one layer after the other.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        examples: Words the questions, without demonstrations.
        items: n pairs (x, y).
        states: For each item the states that are put at the last prompt token (l, d).

    Returns:
        (l).
    """
    right = torch.zeros(len(states[0]))
    for (x, y), own in zip(items, states, strict=True):
        ids = prompt_ids(tokenizer, [examples.prompt((), x)])
        vectors = [
            SteeringVector((Edit("block_output", layer, "replace", state, "last_prompt"),))
            for layer, state in enumerate(own)
        ]
        inputs, sizes = rows(ids * len(vectors), input_device(model))
        with attached_by_row(model, vectors) as attachment, attachment.lengths(sizes, sizes):
            logits = model(**inputs, use_cache=False).logits[:, -1]
        said = [tokenizer.decode([token]) for token in logits.argmax(dim=-1).tolist()]
        right += torch.tensor([float(agrees(text, y)) for text in said])
    return right / len(items)
