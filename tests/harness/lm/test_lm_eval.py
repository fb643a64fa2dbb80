"""`steer-<method>` through lm-eval's front doors: its command line, chat templates, our suites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

import harness  # noqa: F401  (the one import)
import steering
import task_defs

CLI = "import harness; from lm_eval.__main__ import cli_evaluate; cli_evaluate()"
TASKS = ["antonym", "detoxification"]


def evaluate(model: str, model_args: dict[str, Any], **settings: Any) -> dict[str, Any]:
    # lm-eval hands the model's arguments to every task; a task manager of one's own would not
    manager = TaskManager(
        include_path=str(task_defs.root()), include_defaults=False, metadata=model_args
    )
    return lm_eval.simple_evaluate(
        model=model,
        model_args=model_args,
        tasks=TASKS,
        task_manager=manager,
        limit=4,
        batch_size=4,
        device="cpu",
        bootstrap_iters=0,
        verbosity="ERROR",
        **settings,
    )


def answers(results: dict[str, Any]) -> list[Any]:
    return [
        (sample["arguments"], sample["resps"])
        for task in TASKS
        for sample in results["samples"][task]
    ]


def hf(checkpoint: Path) -> dict[str, Any]:
    return {"pretrained": str(checkpoint), "dtype": "float32"}


@pytest.mark.parametrize(
    "settings",
    [{"apply_chat_template": True}, {"num_fewshot": 1}, {"num_fewshot": 0}],
    ids=["chat template", "one shot", "zero shot"],
)
def test_coefficient_zero_equals_hf_on_our_suites(
    checkpoint: Path, settings: dict[str, Any]
) -> None:
    plain = evaluate("hf", hf(checkpoint), **settings)
    nothing = {**hf(checkpoint), "task": "antonym", "coefficient": 0.0, "pairs": 6}
    ours = evaluate("steer-icv", nothing, **settings)
    assert answers(ours) == answers(plain)
    for task in TASKS:
        assert ours["results"][task] == plain["results"][task]


def test_every_method_runs_by_name_with_its_own_settings(checkpoint: Path) -> None:
    unsteered = answers(evaluate("hf", hf(checkpoint)))
    small = {"shots": 2, "mean_prompts": 4, "effect_prompts": 2, "top_heads": 3}
    settings: dict[str, dict[str, Any]] = {
        "fv": small,
        "icv": {"pairs": 6, "coefficient": 0.4},
        "random_heads": small,
        "random_vector": {"of": "fv", "of_settings": small},
    }
    for method in steering.names():
        given = {**hf(checkpoint), "task": "antonym", **settings.get(method, {})}
        results = evaluate(f"steer-{method}", given)
        block = results["config"]["steering"]
        assert block["provenance"]["method"] == method
        assert block["proof"]["max_logit_change"] > 0
        assert block["proof"]["calls"] > 0
        assert answers(results) != unsteered


@pytest.mark.slow
def test_the_command_line_of_lm_eval(checkpoint: Path, tmp_path: Path) -> None:
    given = f"pretrained={checkpoint},dtype=float32,task=antonym,mean_prompts=4,effect_prompts=2"
    command = ["run", "--model", "steer-fv", "--model_args", given, "--tasks", "antonym"]
    command += ["--include_path", str(task_defs.root()), "--limit", "3", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", CLI, *command, "--output_path", str(tmp_path / "out.json")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (written,) = tmp_path.glob("**/out*.json")
    config = json.loads(written.read_text())["config"]
    assert config["model"] == "steer-fv"
    assert config["steering"]["provenance"]["method"] == "fv"
    assert config["steering"]["proof"]["max_logit_change"] > 0
