"""Fluency and the joint score: perplexity by a naive loop, and outputs that are merely broken."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import behaviour
from task_defs.behavior_shift import utils

TASK = "detoxification"


@pytest.fixture(scope="module")
def tiny(checkpoint: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(checkpoint)


def naive_perplexity(model: Any, tokenizer: Any, text: str) -> float:
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    total = 0.0
    for end in range(1, len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([ids[:end]])).logits[0, -1].double()
        total -= float(logits.log_softmax(-1)[ids[end]])
    return math.exp(total / (len(ids) - 1))


def test_perplexity_is_that_of_a_naive_loop(tiny: tuple[Any, Any]) -> None:
    texts = ["Please move.", "a", "It was very kind of you, thank you!", "", "no"]
    wanted = [naive_perplexity(*tiny, text) if text else math.inf for text in texts]
    for size in (1, 2, 32):
        found = behaviour.perplexities(*tiny, [f" {text}\n" for text in texts], batch_size=size)
        assert found == pytest.approx(wanted, rel=1e-4)


def test_threshold_is_the_percentile(tiny: tuple[Any, Any]) -> None:
    texts = [pair[1] for pair in utils.split(utils.read(TASK))["validation"]]
    wanted = np.percentile([naive_perplexity(*tiny, text) for text in texts[:12]], 95)
    assert behaviour.fluency_threshold(*tiny, texts[:12]) == pytest.approx(wanted, rel=1e-4)


def test_nothing_to_measure_by_is_one_line(tiny: tuple[Any, Any]) -> None:
    for references in ([], ["", " "]):
        with pytest.raises(behaviour.NotScored, match="references") as caught:
            behaviour.fluency_threshold(*tiny, references)
        assert "\n" not in str(caught.value)
    broken = SimpleNamespace(
        config=tiny[0].config,
        device=torch.device("cpu"),
        __call__=None,
    )
    model = type("Broken", (), {"__call__": lambda self, input_ids, **_: SimpleNamespace(
        logits=torch.full((*input_ids.shape, 80), math.nan)
    )})()
    model.config, model.device = broken.config, broken.device
    with pytest.raises(behaviour.NotScored, match="NaN"):
        behaviour.perplexities(model, tiny[1], ["Please move."])


class Bigrams:
    """A model of texts that it knows: smoothed counts of pairs of words, as logits.

    It stands for a language model that knows the task's language, and is its own tokenizer.
    """

    bos_token_id = 0
    device = torch.device("cpu")

    def __init__(self, texts: list[str]) -> None:
        self.words = {"<s>": 0, "<unk>": 1}
        rows = [self(text, add_special_tokens=False)["input_ids"] for text in texts]  # type: ignore[index]
        for text in texts:
            for word in self.cut(text):
                self.words.setdefault(word, len(self.words))
        rows = [[0, *(self.words[word] for word in self.cut(text))] for text in texts]
        counts = torch.full((len(self.words), len(self.words)), 1e-3)
        for (one, other), count in Counter(
            pair for row in rows for pair in zip(row, row[1:], strict=False)
        ).items():
            counts[one, other] += count
        self.logits = counts.log()
        self.config = SimpleNamespace(max_position_embeddings=64)

    @staticmethod
    def cut(text: str) -> list[str]:
        return text.replace(".", " .").replace(",", " ,").split()
