"""`steer-<method>` fits on prompts that are worded as lm-eval words what it asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval.api.registry import get_model
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

import harness  # noqa: F401  (registers the models)
import task_defs
from harness.lm.arguments import BadArguments
from harness.lm.method_lm import MethodLM
from harness.lm.wording import PLAIN, Worded, Wording
from steering import FunctionVector, SteeringVector
from tests.harness.templates import save

SMALL = {"shots": 2, "mean_prompts": 3, "effect_prompts": 2, "top_heads": 3, "layer": 1}
METHOD = FunctionVector.from_settings(SMALL)
SYSTEM = "Be brief.\nNo more."
CASES: list[tuple[str | None, Wording, int]] = [
    (None, PLAIN, 0),
    (None, PLAIN, 2),
    (None, Wording(False, SYSTEM), 0),
    (None, Wording(False, SYSTEM), 2),
    ("chatml", Wording(True, None, True), 0),
    ("chatml", Wording(True, SYSTEM, True), 2),
    ("llama-3", Wording(True, SYSTEM, False), 2),
    ("gemma", Wording(True, None, True), 2),
    ("gemma", Wording(True, SYSTEM, True), 0),
    ("phi-3", Wording(True, SYSTEM, True), 2),
    ("mistral", Wording(True, None, False), 2),
    ("bare", Wording(True, SYSTEM, True), 2),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Path]:
    names = dict.fromkeys(name for name, _, _ in CASES)
    return {name: save(tmp_path_factory.mktemp("model"), name, 2048) for name in names}


def made(folder: Path) -> MethodLM:
    given = {"pretrained": str(folder), "dtype": "float32", "task": "antonym", **SMALL}
    found: MethodLM = get_model("steer-fv").create_from_arg_obj(
        given, {"device": "cpu", "batch_size": 4}
    )
    return found


def asked(lm: MethodLM, wording: Wording, shots: int, name: str = "antonym") -> None:
    """Through lm-eval's own `evaluate`, as its command does."""
    manager = TaskManager(include_path=str(task_defs.root()), include_defaults=False)
    task = manager.load([name])["tasks"][name]
    task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(0)
    evaluate(
        lm, {"tasks": {name: task}, "groups": {}, "group_map": {}}, limit=2, bootstrap_iters=0,
        apply_chat_template=wording.chat_template, system_instruction=wording.system_instruction,
        fewshot_as_multiturn=wording.fewshot_as_multiturn, verbosity="ERROR",
    )  # fmt: skip


def same(one: SteeringVector | None, other: SteeringVector) -> bool:
    assert one is not None
    return all(a.tensor.equal(b.tensor) for a, b in zip(one.edits, other.edits, strict=True))


@pytest.mark.parametrize(("name", "wording", "shots"), CASES)
def test_the_fit_is_worded_as_the_question(
    folders: dict[str | None, Path], name: str | None, wording: Wording, shots: int
) -> None:
    lm = made(folders[name])
    asked(lm, wording, shots)
    plain = task_defs.examples("antonym", "train")
    examples = plain if wording == PLAIN else Worded(plain, wording, lm)
    method = METHOD
    assert same(lm.vector, method.fit(lm.model, lm.tokenizer, examples))
    if wording != PLAIN:
        assert not same(lm.vector, method.fit(lm.model, lm.tokenizer, plain))
    asked(lm, wording, 1 - min(shots, 1))  # another number of demonstrations is the same wording


def test_another_wording_later_is_refused(folders: dict[str | None, Path]) -> None:
    lm = made(folders["chatml"])
    asked(lm, Wording(True, None, True), 0)
    for other in (PLAIN, Wording(True, SYSTEM, True), Wording(False, SYSTEM)):
        with pytest.raises(BadArguments, match="pass vector=FOLDER") as caught:
            asked(lm, other, 0)
        assert "\n" not in str(caught.value)


def test_a_vector_that_is_looked_at_first_is_plain(folders: dict[str | None, Path]) -> None:
    lm = made(folders["chatml"])
    plain = task_defs.examples("antonym", "train")
    assert same(lm.vector, METHOD.fit(lm.model, lm.tokenizer, plain))
    with pytest.raises(BadArguments, match="fitted on prompts"):
        asked(lm, Wording(True, None, True), 0)


def test_other_tasks_hear_the_template_too(folders: dict[str | None, Path]) -> None:
    lm, wording = made(folders["chatml"]), Wording(True, SYSTEM, True)
    asked(lm, wording, 2, name="capitalize")
    examples = Worded(task_defs.examples("antonym", "train"), wording, lm)
    assert same(lm.vector, METHOD.fit(lm.model, lm.tokenizer, examples))
