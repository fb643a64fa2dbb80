"""Prompting arms reach what plain lm-eval reaches: `hf`, the same YAML, `simple_evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

import task_defs
from harness.lm.loading import load
from harness.measuring.asking import Asking
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm

LIMIT = 6
SYSTEM = "You are terse."
WORDINGS = {
    "plain": {},
    "system": {"system_instruction": SYSTEM},
    "chat": {"apply_chat_template": True, "fewshot_as_multiturn": True},
    "chat in one message": {"apply_chat_template": True, "fewshot_as_multiturn": False},
    "chat with system": {
        "apply_chat_template": True, "fewshot_as_multiturn": True, "system_instruction": SYSTEM,
    },
}  # fmt: skip
ARMS = ("zero_shot", "few_shot", "instruction")


def by_lm_eval(checkpoint: Path, task: str, arm: str, wording: dict[str, Any]) -> dict[str, Any]:
    """The task's own YAML, with what its metadata says of the arm, asked by lm-eval alone."""
    config = task_defs.config(task, functions=True)
    metadata, chat = config["metadata"], bool(wording.get("apply_chat_template"))
    if arm == "paraphrase":
        config["doc_to_text"] = metadata["paraphrase"]
    elif chat and "chat" in metadata:
        config["doc_to_text"] = metadata["chat"]
    if arm == "few_shot":  # lm-eval's own option does not change a zero of the YAML
        config["num_fewshot"] = metadata["shots"]
    if arm == "instruction":
        config["description"] = f"{metadata['instruction']}\n\n"
    results = lm_eval.simple_evaluate(
        model="hf", model_args=f"pretrained={checkpoint},dtype=float32,device=cpu", tasks=[config],
        limit=LIMIT, batch_size=4, fewshot_random_seed=0, bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False), **wording,
    )  # fmt: skip
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return {
        "prompts": [sample["arguments"][0][0] for sample in samples],
        "answers": [sample["resps"][0][0] for sample in samples],
        "table": results["results"][task],
    }


def session(checkpoint: Path, wording: dict[str, Any], frame: str = "zero_shot") -> Session:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    chat = "always" if wording.get("apply_chat_template") else "never"
    told = wording.get("system_instruction"), wording.get("fewshot_as_multiturn")
    return Session(lm, "hf", {}, Sources(), limit=LIMIT, asking=Asking(chat, *told, frame))


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize(
    ("task", "arms"),
    [("antonym", ARMS), ("detoxification", ("few_shot", "paraphrase"))],
)
def test_tables_are_those_of_plain_lm_eval(
    checkpoint: Path, task: str, arms: tuple[str, ...], wording: str
) -> None:
    own = session(checkpoint, WORDINGS[wording])
    for arm in arms:
        expected = by_lm_eval(checkpoint, task, arm, WORDINGS[wording])
        asked = own.asked(own.spec(task, Arm(arm, arm)))
        measured = own.measure({task: asked}, {})[task]
        assert [instance.args[0] for instance in asked.instances] == expected["prompts"]
        for name, metric in measured.metrics.items():
            if f"{name},none" in expected["table"]:
                value = expected["table"][f"{name},none"]
                assert metric.value == pytest.approx(value, rel=1e-5, abs=1e-6), (arm, name)
        answers = [document["output"] for document in measured.documents]
        if answers[0] is not None:
            assert answers == expected["answers"]
        else:
            logprobs = [document["target_logprob"] for document in measured.documents]
            assert logprobs == pytest.approx([a for a, _ in expected["answers"]], rel=1e-5)
