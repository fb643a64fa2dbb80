"""The suites run under lm-eval's own `hf` model, with the package's own imports blocked."""

import json
import subprocess
import sys
from pathlib import Path

import task_defs

SCRIPT = """
import json, sys
sys.modules.update(dict.fromkeys(("task_defs", "steering", "harness", "reports")))
import torch
torch.set_num_threads(1)
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
manager = TaskManager(include_path=sys.argv[1], include_defaults=False)
results = simple_evaluate(
    model="hf", model_args={"pretrained": sys.argv[2]}, tasks=["precision"], limit=2,
    task_manager=manager, device="cpu", batch_size=8, bootstrap_iters=0,
)
print(json.dumps({
    "group": results["groups"]["precision"], "tasks": results["results"],
    "samples": {name: len(rows) for name, rows in results["samples"].items()},
}, default=str))
"""


def make_checkpoint(folder: Path) -> None:
    """Save a random two-layer model over the bytes."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=512,
        )
    ).save_pretrained(folder)


def test_precision_runs_without_the_package(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "model")
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, str(task_defs.root()), str(tmp_path / "model")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    names = task_defs.suites()["precision"]
    assert found["samples"] == dict.fromkeys(names, 2)
    scores = [found["tasks"][name] for name in names]
    assert all(score["target_logprob,none"] < 0 for score in scores)
    mean = sum(score["acc,none"] for score in scores) / len(scores)
    assert abs(found["group"]["acc,none"] - mean) < 1e-12
