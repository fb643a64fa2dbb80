"""Methods made of few-shot prompts: task vectors, layer averages, state vectors."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from steering import get
from steering.first_token import accuracy_by_layer
from steering.methods.task_vector import TaskVector
from steering.vector import SteeringVector
from tests.steering.parity.scripts import Script, in_turn


def task_prompts(item: dict[str, Any]) -> list[str]:
    shown = "".join(f"example:{x}->{y}\n" for x, y in item["demonstrations"])
    return [f"{shown}example:{query}->" for query in item["dummy_queries"]]


def test_task_vectors(case: Any) -> None:
    own = case("task_vectors")
    item = own.inputs["test"][0]
    assert task_prompts(item)[0] == own.inputs["first_dummy_prompt"]
    ids = own.ids(own.inputs["logits_prompt"])
    for layer in range(3):
        script = Script(word_prompt=in_turn(task_prompts(item)))
        vector = TaskVector(layer=layer).fit(own.model, own.tokenizer, script)
        own.agrees(vector.edits[0].tensor, "task_vectors", (0, layer))
        logits = own.logits(ids, vector)
        own.agrees(logits[-1], "steered_last_logits_by_layer", layer)
        if layer == own.inputs["chosen_layer"]:
            own.agrees(logits, "steered_logits")
        first = TaskVector(layer=layer, queries=1)
        script = Script(word_prompt=in_turn(task_prompts(item)))
        alone = first.fit(own.model, own.tokenizer, script).edits[0].tensor
        own.agrees(alone, "task_vector_of_item_0_first_dummy_query_only", layer)


def test_a_bank_of_task_vectors_holds_one_for_every_item(case: Any) -> None:
    own = case("task_vectors")
    prompts = [text for item in own.inputs["test"] for text in task_prompts(item)]
    questions = [f"example:{x}->" for x in "abcdefghijklmnopqrstuvwxyzABCD"]
    script = Script(word_prompt=in_turn([*prompts, *questions]))
    method = get("task_vector_per_item")(doublings=3, layer=1)
    edit = method.fit(own.model, own.tokenizer, script).edits[0]
    own.agrees(edit.tensor, "task_vectors", (slice(None), 1))
    ids = own.ids(own.inputs["logits_prompt"])
    drawn = own.logits(ids, SteeringVector((edit,)))[-1]
    alone = []
    for state in own.expected["task_vectors"][:, 1]:
        script = Script(word_prompt=in_turn(task_prompts(own.inputs["test"][0])))
        single = TaskVector(layer=1).fit(own.model, own.tokenizer, script)
        one = replace(single, edits=(replace(single.edits[0], tensor=state),))
        alone.append(float((own.logits(ids, one)[-1] - drawn).abs().max()))
    assert sorted(alone)[0] <= 1e-4 < sorted(alone)[1]


def test_task_vectors_are_put_where_the_first_token_is_right_most_often(case: Any) -> None:
    own = case("task_vectors")
    items = own.inputs["development"]
    states = []
    for item in items:
        script = Script(word_prompt=in_turn(task_prompts(item)))
        states.append(TaskVector().states(own.model, own.tokenizer, script, random.Random(0)))
    script = Script(word_prompt=lambda _, query: f"example:{query}->")
    asked = [(item["query"], item["answer"]) for item in items]
    found = accuracy_by_layer(own.model, own.tokenizer, script, asked, states)
    own.agrees(found, "dev_accuracy_by_layer")
    assert int(found.argmax()) == own.inputs["chosen_layer"]


def test_layer_average(case: Any) -> None:
    own = case("layer_average")
    texts = [
        "".join(f"Q: {x}\nA: {y}\n\n" for x, y in prompt["demonstrations"])
        + f"Q: {prompt['query']}\nA:"
        for prompt in own.inputs["prompts"]
    ]
    assert own.inputs["first_prompt"].endswith(texts[0])
    ids = own.ids(own.inputs["text"], bos=True)
    for layer in range(3):
        method = get("layer_average")(prompts=len(texts), layer=layer, bos=True)
        script = Script(word_prompt=in_turn(texts))
        vector = method.fit(own.model, own.tokenizer, script)
        own.agrees(vector.edits[0].tensor, "layer_averages", layer)
        logits = own.logits(ids, vector)
        own.agrees(logits[-1], "steered_last_logits_by_layer", layer)
        if layer == own.inputs["layer"]:
            own.agrees(logits, "steered_logits")


def prompt_and_beginnings(shown: list[list[str]], query: str) -> list[str]:
    """A prompt, and its parts that end at the separators of its demonstrations."""
    said = [f"{x}>{y}\n\n\n" for x, y in shown]
    parts = ["".join(said[:n]) + f"{x}>" for n, (x, _) in enumerate(shown)]
    return ["".join(said) + f"{query}>", *parts]


@pytest.mark.parametrize(
    ("settings", "logits"),
    [
        ({}, "steered_logits"),
        ({"optimisation": "momentum"}, "steered_momentum_last_logits"),
        ({"optimisation": "none"}, "steered_plain_last_logits"),
        ({"optimisation": "none", "groups": 2}, "steered_two_groups_last_logits"),
        (
            {"optimisation": "none", "groups": 2, "aggregation": "divide_and_conquer"},
            "steered_divide_and_conquer_last_logits",
        ),
    ],
)
def test_state_vectors(case: Any, settings: Any, logits: str) -> None:
    own = case("state_vectors")
    inputs = own.inputs
    prompts = [
        *zip(inputs["groups"], inputs["dummy_queries"], strict=True),
        (inputs["divide_and_conquer"]["demonstrations"], inputs["divide_and_conquer"]["query"]),
    ]
    texts = [text for shown, query in prompts for text in prompt_and_beginnings(shown, query)]
    method = get("state_vector")(last_layer=inputs["last_layer"], **settings)
    vector = method.fit(own.model, own.tokenizer, Script(word_prompt=in_turn(texts)))
    found = own.logits(torch.tensor([inputs["text_tokens"]]), vector)
    own.agrees(found if logits == "steered_logits" else found[-1], logits)
