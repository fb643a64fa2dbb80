"""The separators of a few-shot prompt: the tokens after which an answer begins."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from steering.activations import rows
from steering.errors import BadExamples
from steering.hooks import Change, capture, changing
from steering.method import Examples
from steering.sites import resolve
from steering.tokens import common, prompt_ids


def separated_prompt(
    tokenizer: Any, examples: Examples, shots: int, rng: random.Random
) -> tuple[list[int], list[int]]:
    """Draw a prompt: its token ids, and where its separators are, the query's last.

    Raises:
        BadExamples: too few pairs.
    """
    if len(examples.pairs) <= shots:
        raise BadExamples(
            f"{examples.name}: {len(examples.pairs)} pairs, expected more than {shots}; give more "
            "pairs or lower shots"
        )
    *shown, (query, _) = rng.sample(list(examples.pairs), shots + 1)
    texts = [examples.prompt(shown, query)]
    texts += [examples.prompt(shown[:n], x) for n, (x, _) in enumerate(shown)]
    whole, *parts = prompt_ids(tokenizer, texts)
    return whole, [*(common(part, whole) - 1 for part in parts), len(whole) - 1]


def query_state(
    model: Any, ids: Sequence[int], places: Sequence[int], states: Tensor, last: int
) -> Tensor:
    """What the query's separator holds when states are written at the others.

    Args:
        model: A Hugging Face decoder.
        ids: A prompt.
        places: Its separators.
        states: One for each separator but the last (r, l, h * d_h), at head_output.
        last: Last layer in which they are written.

    Returns:
        (l, h * d_h), of the layers that have heads.
    """
    layers = resolve(model).layers("head_output")

    def writing(row: int) -> Change:
        def change(x: Tensor) -> Tensor:
            new = x.clone()
            new[0, places[:-1]] = states[:, row, : x.shape[-1]].to(x)
            return new

        return change

    inputs, _ = rows([ids], model)
    changes = {("head_output", at): writing(row) for row, at in enumerate(layers) if at <= last}
    with changing(model, changes):
        return capture(model, inputs, lambda x: x[:, -1], site="head_output", layers=layers)[0]
