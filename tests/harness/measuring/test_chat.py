"""Prompts that vectors are fitted on are those that lm-eval asks with a chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.lm.adapter import SteeredLM
from harness.measuring.chat import ChatExamples
from harness.measuring.measurement import request_settings
from harness.measuring.prompting import prompt
from harness.measuring.sources import Sources


@pytest.fixture(scope="module")
def lm(checkpoint: Path) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32")


@pytest.mark.parametrize("shots", [0, 3])
@pytest.mark.parametrize("name", ["antonym", "detoxification"])
def test_prompts_are_those_of_lm_eval(lm: SteeredLM, name: str, shots: int) -> None:
    sources = Sources()
    plain = sources.examples(name, "train")
    answers = dict(plain.pairs)
    examples = ChatExamples(plain, lm)
    task = sources.load(name)
    prompt(task, "few_shot", seed=0, shots=shots)
    task.build_all_requests(limit=4, rank=0, world_size=1, **request_settings(lm, True))
    queries = sources.examples(name, "test").pairs
    for instance, (x, y) in zip(task.instances, queries, strict=False):
        asked = instance.args[0]
        questions = [part.partition("Q: ")[2].split("\nA:")[0] for part in asked.split("\n\n")]
        shown = [(question, answers[question]) for question in questions[:-1]]
        assert len(shown) == shots
        assert examples.prompt(shown, x) == asked
        assert asked.startswith("user: ")
        if task.OUTPUT_TYPE == "loglikelihood":
            assert examples.target(y) == instance.args[1]


def test_a_chat_template_changes_the_fingerprint_and_nothing_else(lm: SteeredLM) -> None:
    plain = Sources().examples("antonym", "train")
    examples = ChatExamples(plain, lm)
    assert examples.fingerprint() != plain.fingerprint()
    assert (examples.name, examples.pairs, examples.shots) == ("antonym", plain.pairs, 10)
