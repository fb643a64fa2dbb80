"""The prompting arms, read back from the text that lm-eval renders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import task_defs
from harness.measuring.prompting import prompt
from harness.measuring.sources import Sources

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

SHOTS = {"antonym": 10, "country-continent": 10, "detoxification": 4}


def prompted(name: str, prompting: str, seed: int = 0) -> ConfigurableTask:
    task = Sources().load(name)
    prompt(task, prompting, seed=seed, shots=SHOTS[name])
    return task


def texts(task: ConfigurableTask, documents: int = 5) -> list[str]:
    task.build_all_requests(limit=documents, rank=0, world_size=1)
    return [instance.args[0] for instance in task.instances]


def demonstrations(text: str) -> list[tuple[str, str]]:
    *shown, _ = text.split("\n\n")
    found = []
    for turn in shown:
        question, answer = turn.split("\nA: ")
        found.append((question.removeprefix("Q: "), answer))
    return found


@pytest.mark.parametrize("name", SHOTS)
def test_zero_shot_is_the_query_alone(name: str) -> None:
    queries = [x for x, _ in task_defs.examples(name, "test").pairs]
    assert texts(prompted(name, "zero_shot")) == [f"Q: {x}\nA:" for x in queries[:5]]


@pytest.mark.parametrize("name", SHOTS)
def test_few_shot_shows_pairs_of_the_train_split(name: str) -> None:
    train = set(task_defs.examples(name, "train").pairs)
    for text in texts(prompted(name, "few_shot")):
        shown = demonstrations(text)
        assert len(set(shown)) == SHOTS[name]
        assert set(shown) <= train


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("name", SHOTS)
def test_shuffled_labels_are_the_only_difference(name: str, seed: int) -> None:
    queries = task_defs.examples(name, "test").pairs
    straight = texts(prompted(name, "few_shot", seed))
    shuffled = texts(prompted(name, "shuffled_few_shot", seed))
    answer = dict(task_defs.examples(name, "train").pairs)
    moved = 0
    for one, other, (x, _) in zip(straight, shuffled, queries, strict=False):
        right, permuted = demonstrations(one), demonstrations(other)
        assert [x for x, _ in permuted] == [x for x, _ in right]
        assert sorted(y for _, y in permuted) == sorted(y for _, y in right)
        assert one.endswith(f"\n\nQ: {x}\nA:")
        assert other.endswith(f"\n\nQ: {x}\nA:")
        if len({y for _, y in right}) == len(right):
            assert all(answer[question] != y for question, y in permuted)
            moved += 1
    assert moved or name == "country-continent"  # ten countries share seven continents


def test_a_seed_gives_the_same_prompts_again_and_another_seed_others() -> None:
    for prompting in ("few_shot", "shuffled_few_shot"):
        task = prompted("antonym", prompting)
        first = texts(task)
        assert texts(prompted("antonym", prompting)) == first
        assert texts(prompted("antonym", prompting, seed=1)) != first
        task.set_fewshot_seed(0)  # as lm-eval does before it builds requests
        assert texts(task) == first


def test_each_document_has_demonstrations_and_a_permutation_of_its_own() -> None:
    found = [demonstrations(text) for text in texts(prompted("antonym", "shuffled_few_shot"))]
    assert len({tuple(x for x, _ in shown) for shown in found}) == len(found)


@pytest.mark.parametrize("name", SHOTS)
def test_the_instruction_stands_before_the_query(name: str) -> None:
    said = task_defs.config(name)["metadata"]["instruction"]
    queries = [x for x, _ in task_defs.examples(name, "test").pairs]
    expected = [f"{said}\n\nQ: {x}\nA:" for x in queries[:5]]
    assert texts(prompted(name, "instruction")) == expected


def test_a_task_without_an_instruction_is_one_line() -> None:
    task = Sources().load("antonym")
    del task.config.metadata["instruction"]
    with pytest.raises(
        task_defs.BadTask, match=r"'antonym' has no metadata\.instruction"
    ) as caught:
        prompt(task, "instruction", seed=0, shots=10)
    assert "\n" not in str(caught.value)
