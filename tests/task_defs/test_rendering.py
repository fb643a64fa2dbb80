"""Prompts equal lm-eval's own, for every built-in task."""

import os

import pytest

import task_defs
from task_defs.examples_of import pair_of

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module")
def manager():
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(task_defs.root()), include_defaults=False)


@pytest.mark.parametrize("name", task_defs.tasks())
def test_prompt_is_what_lm_eval_renders(name: str, manager) -> None:
    task = manager.load([name])["tasks"][name]
    examples = task_defs.examples(name)
    for shots in (0, 3):
        for query in list(task.test_docs())[:2]:
            task.set_fewshot_seed(7)
            theirs = task.fewshot_context(query, shots)
            task.set_fewshot_seed(7)
            drawn = task.sampler.sample(shots, eval_doc=None)
            shown = [pair_of(document) for document in drawn]
            assert examples.prompt(shown, query["input"]) == theirs


@pytest.mark.parametrize("name", task_defs.suites()["precision"])
def test_target_is_what_lm_eval_scores(name: str, manager) -> None:
    task = manager.load([name])["tasks"][name]
    task.build_all_requests(limit=2, rank=0, world_size=1)
    examples = task_defs.examples(name, "test")
    scored = [(examples.prompt([], x), examples.target(y)) for x, y in examples.pairs[:2]]
    assert [instance.args for instance in task.instances] == scored
    assert all(target.startswith(" ") for _, target in scored)


def test_the_text_of_a_prompt() -> None:
    examples = task_defs.examples("antonym")
    text = examples.prompt([("hot", "cold"), ("big", "small")], "wet")
    assert text == "Q: hot\nA: cold\n\nQ: big\nA: small\n\nQ: wet\nA:"
    assert examples.target("dry") == " dry"
    assert examples.demonstration("hot", "cold") == "Q: hot\nA: cold\n\n"
    assert len(examples) == 183
    assert examples.shots == 10


def test_fingerprint_follows_pairs_and_template() -> None:
    from dataclasses import replace

    examples = task_defs.examples("antonym")
    assert examples.fingerprint() == task_defs.examples("antonym").fingerprint()
    fewer = replace(examples, pairs=examples.pairs[1:])
    other = replace(examples, template=replace(examples.template, text="{{input}} ->"))
    assert len({examples.fingerprint(), fewer.fingerprint(), other.fingerprint()}) == 3


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no task named 'antonim'\. Did you mean 'antonym'\?"):
        task_defs.config("antonim")
    with pytest.raises(ValueError, match="no split 'dev'; expected one of train, validation, test"):
        task_defs.examples("antonym", "dev")


def test_settings_of_every_task() -> None:
    suites = task_defs.suites()
    assert len(suites["precision"]) >= 14
    headline = "antonym capitalize country-capital english-french present-past singular-plural"
    assert set(headline.split()) <= set(suites["precision"])
    for suite, names in suites.items():
        for name in names:
            metadata = task_defs.config(name)["metadata"]
            assert metadata["suite"] == suite
            assert metadata["shots"] == {"precision": 10, "behavior_shift": 4}[suite]
            assert metadata["instruction"].endswith(".")
