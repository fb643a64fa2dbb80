"""`steer-<method>` inside lm-eval: names without torch, fits, loads, refuses, and equals `hf`."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.api.registry import get_model, model_registry
from lm_eval.tasks import TaskManager

import steering
import task_defs
from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments
from harness.lm.registry import method_names, model_class, register_all

TASK = """
task: {name}
custom_dataset: !function utils.load
output_type: {output_type}
test_split: test
doc_to_text: "Q: {{{{input}}}}\\nA:"
doc_to_target: " {{{{output}}}}"
{extra}
"""
SCORED = "metric_list: [{metric: acc}, {metric: perplexity}]"
WRITTEN = (
    'generation_kwargs: {until: ["\\n"], max_gen_toks: 6}\nmetric_list: [{metric: exact_match}]'
)
UTILS = """
import datasets

def load(**_):
    pairs = [("hot", "cold"), ("big", "small"), ("a longer one", "short"), ("up", "down")]
    rows = [{"input": x, "output": y} for x, y in pairs]
    return {"test": datasets.Dataset.from_list(rows)}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> TaskManager:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "utils.py").write_text(UTILS)
    kinds = {"scored": ("loglikelihood", SCORED), "written": ("generate_until", WRITTEN)}
    for name, (output_type, extra) in kinds.items():
        text = TASK.format(name=name, output_type=output_type, extra=extra)
        (folder / f"{name}.yaml").write_text(text)
    return TaskManager(include_path=str(folder), include_defaults=False)


def evaluate(model: str, model_args: Any, tasks: TaskManager) -> dict[str, Any]:
    return lm_eval.simple_evaluate(
        model=model,
        model_args=model_args,
        tasks=["scored", "written"],
        task_manager=tasks,
        batch_size=3,
        device="cpu",
        bootstrap_iters=0,
        verbosity="ERROR",
    )


def answers(results: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        task: [sample["resps"] for sample in samples]
        for task, samples in results["samples"].items()
    }


def test_importing_harness_registers_every_method_and_no_torch() -> None:
    code = (
        "import sys, harness; from lm_eval.api.registry import model_registry as r;"
        "print(*sorted(n for n in r if n.startswith('steer-')),"
        " any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = sorted(f"steer-{name}" for name in (*steering.names(), "vector"))
    assert run.stdout.split() == [*expected, "False"]


def test_names_read_from_source_are_the_registered_ones() -> None:
    assert set(method_names()) == set(steering.names())


def test_the_entry_points_that_the_next_lm_eval_reads_are_declared() -> None:
    content = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert content["project"]["entry-points"]["lm_eval.models"] == {
        f"steer-{name}": f"harness.lm.registry:steer_{name}"
        for name in (*steering.names(), "vector")
    }


def test_registering_twice_changes_nothing() -> None:
    names = register_all()
    classes = [get_model(name) for name in names]
    assert register_all() == names
    assert [get_model(name) for name in names] == classes


def test_another_model_under_our_name_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_registry._objs, "steer-fv", "other.package:Model")
    with pytest.raises(ValueError, match="already registered"):
        register_all()


def test_every_class_knows_its_method() -> None:
    assert model_class("vector") is SteeredLM
    for name in steering.names():
        assert get_model(f"steer-{name}").method is steering.get(name)


def test_no_setting_has_the_name_of_what_a_task_is_loaded_by() -> None:
    """lm-eval passes the model's arguments to `custom_dataset` beside the task's own."""
    settings = {f.name for n in steering.names() for f in dataclasses.fields(steering.get(n))}
    loaded_by = {
        key for name in task_defs.tasks() for key in task_defs.config(name)["dataset_kwargs"]
    }
    assert loaded_by
    assert not settings & loaded_by


def test_coefficient_zero_equals_hf_exactly(checkpoint: Path, tasks: TaskManager) -> None:
    plain = evaluate("hf", f"pretrained={checkpoint},dtype=float32", tasks)
    ours = evaluate(
        "steer-fv", f"pretrained={checkpoint},dtype=float32,task=antonym,coefficient=0", tasks
    )
    assert ours["results"]["scored"] == plain["results"]["scored"]
    assert ours["results"]["written"] == plain["results"]["written"]
    assert answers(ours) == answers(plain)
    assert ours["config"]["steering"]["coefficient"] == 0
    assert ours["config"]["steering"]["proof"]["max_logit_change"] == 0


def test_a_fitted_and_a_saved_vector_answer_alike(
    checkpoint: Path, tasks: TaskManager, tmp_path: Path
) -> None:
    common = {"pretrained": str(checkpoint), "dtype": "float32"}
    fitted = get_model("steer-fv").create_from_arg_obj(
        {**common, "task": "antonym", "layer": 1, "coefficient": 2.0}, {"device": "cpu"}
    )
    fitted.vector.save_pretrained(tmp_path / "vec")
    from_fit = evaluate(
        "steer-fv", {**common, "task": "antonym", "layer": 1, "coefficient": 2.0}, tasks
    )
    arguments = {**common, "vector": str(tmp_path / "vec")}
    from_file = evaluate("steer-fv", arguments, tasks)
    assert answers(from_file) == answers(from_fit)
    assert from_file["config"]["steering"]["id"] == from_fit["config"]["steering"]["id"]
    assert answers(evaluate("steer-vector", arguments, tasks)) == answers(from_fit)
    with pytest.raises(BadArguments, match="fitted by 'fv'; use --model steer-fv"):
        evaluate("steer-icv", arguments, tasks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("task=antonym,layr=1", "Did you mean 'layer'"),
        ("task=antonym,vector=vec", "one of task=NAME"),
        ("layer=1", "one of task=NAME"),
        ("vector=vec,layer=1", "belong to a fit"),
        ("task=antonym,batch_sise=1", "Did you mean 'batch_size'"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    checkpoint: Path, arguments: str, message: str
) -> None:
    with pytest.raises(BadArguments, match=message) as caught:
        get_model("steer-fv").create_from_arg_string(f"pretrained={checkpoint},{arguments}")
    assert "\n" not in str(caught.value)


def test_a_missing_model_is_named(checkpoint: Path) -> None:
    with pytest.raises(BadArguments, match="steer-fv needs pretrained=MODEL"):
        get_model("steer-fv").create_from_arg_string("task=antonym")
