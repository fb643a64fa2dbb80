"""Fluency and the joint score: perplexity by a naive loop, and outputs that are merely broken."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.measuring import behaviour
from task_defs.behavior_shift import utils

TASKS = ("detoxification", "formality", "sentiment_transfer")


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
    texts = [y for _, y in utils.split(utils.read(TASKS[0]))["validation"]][:12]
    wanted = np.percentile([naive_perplexity(*tiny, text) for text in texts], 95)
    assert behaviour.fluency_threshold(*tiny, texts) == pytest.approx(wanted, rel=1e-4)
    fluent = behaviour.fluency(*tiny, texts, float(wanted) * 1.0001)
    assert fluent.count(1.0) == 11  # 95 % of 12


def test_of_many_references_some_at_even_distances_are_read(
    tiny: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [y for _, y in utils.split(utils.read(TASKS[0]))["validation"]][:13]
    monkeypatch.setattr(behaviour, "MOST_READ", 5)
    every_third = behaviour.fluency_threshold(*tiny, texts)
    monkeypatch.undo()
    assert every_third == behaviour.fluency_threshold(*tiny, texts[::3])
    assert every_third != behaviour.fluency_threshold(*tiny, texts)


class Words:
    """Splits texts into words and numbers them; 0 opens a text, 1 is any unknown word."""

    bos_token_id = 0

    def __init__(self, texts: list[str]) -> None:
        found = dict.fromkeys(word for text in texts for word in self.cut(text))
        self.known = {word: number for number, word in enumerate(found, 2)}

    @staticmethod
    def cut(text: str) -> list[str]:
        return text.replace(".", " .").replace(",", " ,").split()

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [self.known.get(word, 1) for word in self.cut(text)]}


class Bigrams:
    """Smoothed counts of pairs of words as logits: a language model that knows these texts."""

    device = torch.device("cpu")
    config = SimpleNamespace(max_position_embeddings=64)

    def __init__(self, tokenizer: Words, texts: list[str]) -> None:
        size = len(tokenizer.known) + 2
        counts = torch.full((size, size), 1e-3)
        for text in texts:
            ids = [0, *tokenizer(text)["input_ids"]]
            for one, other in pairwise(ids):
                counts[one, other] += 1
        self.table = counts.log()

    def __call__(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[input_ids])


@dataclass(frozen=True)
class Speaker:
    """A task, and a model that speaks like its references."""

    task: str
    model: Any
    tokenizer: Words
    threshold: float

    def side(self, number: int) -> list[str]:
        return [pair[number] for pair in utils.split(utils.read(self.task))["test"]]


@pytest.fixture(scope="module", params=TASKS)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    task = request.param
    texts = [y for part in utils.split(utils.read(task)).values() for _, y in part]
    tokenizer = Words(texts)
    model = Bigrams(tokenizer, texts)
    references = [y for _, y in utils.split(utils.read(task))["train"]]
    threshold = behaviour.fluency_threshold(model, tokenizer, references)
    return Speaker(task, model, tokenizer, threshold)


def scored(outputs: list[str], speaker: Speaker) -> dict[str, float]:
    """Mean metrics over the test split's documents with these outputs."""
    pairs = utils.split(utils.read(speaker.task))["test"]
    samples = []
    for (x, y), output in zip(pairs, outputs, strict=True):
        doc = {"input": x, "output": y, "task": speaker.task}
        metrics = utils.process_results(doc, [output])
        samples.append({"input": x, "target": y, "output": output, **metrics})
    found = behaviour.score_documents(
        samples,
        model=speaker.model,
        tokenizer=speaker.tokenizer,
        threshold=speaker.threshold,
    )
    assert [{**sample, "fluency": 0, "joint": 0} for sample in samples] == [
        {**sample, "fluency": 0, "joint": 0} for sample in found
    ]
    for sample in found:
        product = sample["attribute"] * sample["content"] * sample["fluency"]
        assert sample["joint"] == pytest.approx(product)
    names = ("attribute", "content", *behaviour.ADDED, "empty", "copy", "repetition")
    return {name: sum(s[name] for s in found) / len(found) for name in names}


def test_a_good_rewrite_scores_high(speaker: Speaker) -> None:
    found = scored(speaker.side(1), speaker)
    assert found["content"] == pytest.approx(1.0)
    assert found["fluency"] >= 0.85
    assert found["joint"] >= 0.8
    assert (found["empty"], found["copy"], found["repetition"]) == (0, 0, 0)


def test_word_salad_is_in_style_and_worth_nothing(speaker: Speaker) -> None:
    rng = random.Random(0)
    salads = []
    for text in speaker.side(1):
        words = Words.cut(text)
        rng.shuffle(words)
        salads.append(" ".join(words))
    found = scored(salads, speaker)
    assert found["attribute"] > 0.8
    assert found["joint"] < 0.03


def test_loops_are_in_style_and_worth_nothing(speaker: Speaker) -> None:
    """Here the loop is the model's own favourite, so that perplexity alone would pass it."""
    word = "please"
    model = Bigrams(speaker.tokenizer, [word])
    model.table = speaker.model.table.clone()
    number = speaker.tokenizer(word)["input_ids"][0]
    model.table[:, number] = 50.0
    loop = " ".join([word] * 12)
    assert behaviour.perplexities(model, speaker.tokenizer, [loop])[0] < speaker.threshold
    found = scored([loop] * 60, replace(speaker, model=model))
    assert found["attribute"] > 0.8
    assert (found["fluency"], found["joint"], found["repetition"]) == (0.0, 0.0, 1.0)


def test_silence_is_worth_nothing(speaker: Speaker) -> None:
    for output in ("", "...", " \n"):
        found = scored([output] * 60, speaker)
        assert (found["fluency"], found["joint"], found["empty"]) == (0.0, 0.0, 1.0)


def test_a_copy_keeps_the_content_and_not_the_style(speaker: Speaker) -> None:
    found = scored(speaker.side(0), speaker)
    assert found["copy"] == 1.0
    assert found["attribute"] < 0.1
    assert found["joint"] < 0.03


def test_what_cannot_be_measured_is_one_line(speaker: Speaker) -> None:
    model, tokenizer = speaker.model, speaker.tokenizer
    for texts in ([], ["", " "]):
        with pytest.raises(behaviour.NotScored, match="references") as caught:
            behaviour.fluency_threshold(model, tokenizer, texts)
        assert "\n" not in str(caught.value)
    broken = Bigrams(tokenizer, [])
    broken.table = broken.table * math.nan
    with pytest.raises(behaviour.NotScored, match="NaN") as caught:
        behaviour.fluency(broken, tokenizer, ["Please move."], 1.0)
    assert "\n" not in str(caught.value)
