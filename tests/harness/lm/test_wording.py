"""Prompts that vectors are fitted on are those that lm-eval asks, in every wording."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments
from harness.lm.wording import PLAIN, Worded, Wording
from harness.measuring.prompting import prompt
from harness.measuring.sources import Sources

WORDINGS = (
    Wording(system_instruction="Be brief."),
    Wording(chat_template=True),
    Wording(chat_template=True, fewshot_as_multiturn=True),
    Wording(chat_template=True, system_instruction="Be brief.", fewshot_as_multiturn=True),
)


@pytest.fixture(scope="module")
def lm(checkpoint: Path) -> SteeredLM:
    return SteeredLM(str(checkpoint), device="cpu", dtype="float32")


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda each: str([*asdict(each).values()]))
@pytest.mark.parametrize("shots", [0, 3])
@pytest.mark.parametrize("name", ["antonym", "detoxification"])
def test_prompts_are_those_of_lm_eval(
    lm: SteeredLM, name: str, shots: int, wording: Wording
) -> None:
    sources = Sources()
    plain = sources.examples(name, "train")
    task = sources.load(name)
    prompt(task, "few_shot", seed=0, shots=shots)
    task.build_all_requests(limit=4, rank=0, world_size=1, **wording.requests(lm))
    examples = Worded(plain, wording, lm)
    answers = dict(plain.pairs)
    for instance, (x, y) in zip(task.instances, sources.examples(name, "test").pairs, strict=False):
        asked = instance.args[0]
        found = [part.split("\nA:")[0] for part in asked.split("Q: ")[1:]]
        assert found[-1] == x
        assert len(found) == shots + 1
        assert examples.prompt([(each, answers[each]) for each in found[:-1]], x) == asked
        if task.OUTPUT_TYPE != "generate_until":
            assert examples.target(y) == instance.args[1]


def test_a_wording_changes_the_fingerprint_and_nothing_else(lm: SteeredLM) -> None:
    plain = Sources().examples("antonym", "train")
    every = [Worded(plain, wording, lm) for wording in WORDINGS]
    assert len({plain.fingerprint(), *(each.fingerprint() for each in every)}) == len(every) + 1
    for each in every:
        assert (each.name, each.pairs, each.shots) == ("antonym", plain.pairs, 10)


def test_turns_are_the_default_in_a_template_and_need_one() -> None:
    assert Wording.of(False, None) == PLAIN
    assert Wording.of(True, None).fewshot_as_multiturn
    assert not Wording.of(True, None, False).fewshot_as_multiturn
    with pytest.raises(BadArguments, match="needs a chat template"):
        Wording.of(False, None, True)
