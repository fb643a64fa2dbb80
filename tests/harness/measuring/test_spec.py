"""Arms as they are named on the command line, and the hash that names a measurement."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from harness.errors import UsageError
from harness.measuring.spec import BARE, DEFAULT_ARMS, Arm, RunSpec, parse_arms, resolved

METHODS = ("fv", "icv", "random_heads", "random_vector")


def one(name: str) -> Arm:
    (arm,) = parse_arms([name], METHODS)
    return arm


def spec(**changes: object) -> RunSpec:
    settings = {
        "model": "hf",
        "model_args": {"pretrained": "gpt2", "dtype": "float32"},
        "model_hash": "0123456789ab",
        "task": "antonym",
        "suite": "precision",
        "task_hash": "ba9876543210",
        "arm": Arm("fv", method="fv"),
        "seed": 0,
        "shots": 0,
        "budget": 24,
    }
    return RunSpec(**(settings | changes))


@pytest.mark.parametrize(
    ("name", "prompting", "method", "matched", "tuned"),
    [
        ("zero_shot", "zero_shot", None, None, None),
        ("shuffled_few_shot", "shuffled_few_shot", None, None, None),
        ("fv", "zero_shot", "fv", None, "fv"),
        ("icv@shuffled_few_shot", "shuffled_few_shot", "icv", None, "icv"),
        ("random_vector:icv", "zero_shot", "random_vector", "icv", "icv"),
        ("random_vector:fv@few_shot", "few_shot", "random_vector", "fv", "fv"),
        ("random_heads", "zero_shot", "random_heads", "fv", "fv"),
    ],
)
def test_what_a_name_means(
    name: str, prompting: str, method: str | None, matched: str | None, tuned: str | None
) -> None:
    arm = one(name)
    assert (arm.name, arm.prompting, arm.method, arm.matched) == (name, prompting, method, matched)
    assert arm.tuned == tuned


def test_default_arms_are_read_in_order() -> None:
    arms = parse_arms(list(DEFAULT_ARMS), METHODS)
    assert tuple(arm.name for arm in arms) == DEFAULT_ARMS
    assert [arm.name for arm in arms if arm.method is None] == list(BARE)


def test_a_matched_control_alone_means_one_per_method_and_names_are_read_once() -> None:
    arms = parse_arms(["fv", "random_heads", "icv", "random_vector", "fv"], METHODS)
    assert [arm.name for arm in arms] == [
        "fv",
        "random_heads",
        "icv",
        "random_vector:fv",
        "random_vector:icv",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fvv", "Did you mean 'fv'"),
        ("few_shots", "Did you mean 'few_shot'"),
        ("fv@few", "Did you mean 'few_shot'|no arm named 'fv@few'"),
        ("random_vector:ivc", "Did you mean 'icv'"),
        ("random_vector:random_heads", "no arm named"),
        ("random_vector@few_shot", "no arm named"),
        ("fv:icv", "no arm named 'fv:icv'"),
        ("fv@", "no arm named 'fv@'"),
        ("random_vector:", "no arm named"),
        ("", "no arm named ''"),
    ],
)
def test_a_name_that_is_no_arm_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_arms(["zero_shot", name], METHODS)
    assert "\n" not in str(caught.value)
    assert "random_vector:fv" in str(caught.value)


@pytest.mark.parametrize("names", [[], ["random_vector"]])
def test_no_arms_at_all(names: list[str]) -> None:
    with pytest.raises(UsageError, match="a control needs a method beside it"):
        parse_arms(names, METHODS)


def test_run_id_is_the_hash_of_what_is_said_here() -> None:
    """Written out by hand: a changed layout of specs would orphan every record on disk."""
    said = {
        "arm": {
            "name": "fv",
            "prompting": "zero_shot",
            "method": "fv",
            "matched": None,
            "default": False,
        },
        "budget": 24,
        "chat_template": False,
        "dose": None,
        "fewshot_as_multiturn": False,
        "frame": "zero_shot",
        "gen_kwargs": {},
        "limit": None,
        "model": "hf",
        "model_args": {"dtype": "float32", "pretrained": "gpt2"},
        "model_hash": "0123456789ab",
        "protocol": 3,
        "seed": 0,
        "method_code": None,
        "metric": None,
        "fit_on": None,
        "side": None,
        "side_hash": None,
        "shots": 0,
        "suite": "precision",
        "system_instruction": None,
        "task": "antonym",
        "task_hash": "ba9876543210",
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    assert spec().run_id == hashlib.sha256(text.encode()).hexdigest()[:12]
    swapped = {"dtype": "float32", "pretrained": "gpt2"}
    assert spec(model_args=swapped).run_id == spec().run_id


def test_every_field_changes_the_run_id() -> None:
    changes = {
        "model": "reference",
        "model_args": {"pretrained": "gpt2"},
        "model_hash": "0",
        "task": "capitalize",
        "suite": "own",
        "task_hash": "0",
        "arm": Arm("icv", method="icv"),
        "seed": 1,
        "shots": 10,
        "budget": 25,
        "limit": 4,
        "chat_template": True,
        "frame": "paraphrase",
        "fewshot_as_multiturn": True,
        "system_instruction": "Be brief.",
        "gen_kwargs": {"max_gen_toks": 8},
        "dose": 0.5,
        "method_code": "0",
        "metric": "acc_norm",
        "beside": ("first_token_acc",),
        "opening": "<s>",
        "fit_on": "other 0",
        "side": "other",
        "side_hash": "0",
        "templates": ("{{input}} =>",),
        "protocol": 4,
    }
    assert set(changes) == {field.name for field in dataclasses.fields(RunSpec)}
    ids = {spec(**{name: value}).run_id for name, value in changes.items()}
    assert len(ids | {spec().run_id}) == len(changes) + 1


def test_methods_act_on_top_of_the_frame_unless_a_prompting_is_named() -> None:
    assert resolved(one("fv"), "paraphrase").prompting == "paraphrase"
    assert resolved(one("random_vector:fv"), "paraphrase").prompting == "paraphrase"
    assert resolved(one("fv@shuffled_few_shot"), "paraphrase") == one("fv@shuffled_few_shot")
    assert resolved(one("zero_shot"), "paraphrase") == one("zero_shot")
    assert resolved(one("baseline"), "paraphrase") == one("paraphrase")
    assert resolved(one("baseline"), "zero_shot") == one("zero_shot")
