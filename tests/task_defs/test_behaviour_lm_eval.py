"""The behaviour suite under plain lm-eval, where nothing of the package can be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import task_defs
from tests.harness.tiny import save_checkpoint

SCRIPT = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("harness", "reports", "steering", "task_defs"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
import torch
torch.set_num_threads(1)
import lm_eval
from lm_eval.tasks import TaskManager

results = lm_eval.simple_evaluate(
    model="hf",
    model_args={"pretrained": sys.argv[1], "device": "cpu", "dtype": "float32"},
    tasks=["behavior_shift"],
    task_manager=TaskManager(include_path=sys.argv[2], include_defaults=False),
    limit=2,
    num_fewshot=0,
    batch_size=2,
    bootstrap_iters=0,
)
print(json.dumps({"results": results["results"], "samples": results["samples"],
                  "groups": results["groups"]}, default=str))
"""


def test_plain_lm_eval_runs_the_group(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(checkpoint), str(task_defs.root())],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    members = task_defs.suites()["behavior_shift"]
    assert set(found["samples"]) == set(members)
    for name in members:
        for metric in (entry["metric"] for entry in task_defs.config(name)["metric_list"]):
            values = [sample[metric] for sample in found["samples"][name]]
            assert found["results"][name][f"{metric},none"] == sum(values) / len(values)
        for sample in found["samples"][name]:
            document = task_defs.examples(name, "test").pairs[sample["doc_id"]]
            ((prompt, settings),) = sample["arguments"]
            assert prompt == f"Q: {document[0]}\nA:"
            assert (settings["until"], settings["max_gen_toks"]) == (["\n"], 48)
            assert not settings["do_sample"]
    of_group = found["groups"]["behavior_shift"]["attribute,none"]
    of_tasks = [found["results"][name]["attribute,none"] for name in members]
    assert abs(of_group - sum(of_tasks) / len(members)) < 1e-12
