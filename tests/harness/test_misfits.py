"""What does not fit a model is said: in the record, the report, the terminal and the results."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
import torch
from lm_eval import simple_evaluate
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

import steering.tokens
import task_defs
from harness.cli import main
from harness.lm.adapter import SteeredLM
from harness.lm.encoding import CUT_PROMPT, LONG_ANSWER
from reports.record import load_all
from tests.harness.templates import save, tokenizer

LENGTH = 60
WORDS = [{"input": f"in{i}", "output": f"out{i}"} for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a short context, and pairs of which some answers are longer than that."""
    found = tmp_path_factory.mktemp("short")
    save(found / "model", None, LENGTH)
    (found / "pairs.json").write_text(json.dumps(WORDS))
    long = [
        {**pair, "output": pair["output"] + "x" * (i % 2) * LENGTH} for i, pair in enumerate(WORDS)
    ]
    (found / "long.json").write_text(json.dumps(long))
    return found


def asked(folder: Path, file: str) -> list[str]:
    model = f"pretrained={folder / 'model'},dtype=float32"
    return ["--model", "hf", "-a", model, "--data", str(folder / file)]


def test_cut_prompts_reach_record_report_and_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path)
    arms = ["--arms", "zero_shot,few_shot", "-o", out]
    assert main(["compare", *asked(folder, "pairs.json"), *arms]) == 0
    records = {record.arm: record for record in load_all(tmp_path)}
    unfit = records["few_shot"].provenance["unfit"]
    task = task_defs.pairs_file(folder / "pairs.json")
    encode = AutoTokenizer.from_pretrained(folder / "model").encode
    held = task_defs.pairs_file(folder / "pairs.json", "test").pairs
    shots = task.prompt(task.pairs[:10], held[0][0])
    assert len(encode(shots)) > LENGTH  # ten demonstrations never fit
    assert unfit == {"requests": len(held), CUT_PROMPT: len(held)}
    assert records["zero_shot"].provenance["unfit"] == {}
    line = f"pairs: {CUT_PROMPT}: few_shot {len(held)} of {len(held)} requests."
    assert line in capsys.readouterr().out
    assert line in (tmp_path / "report.md").read_text()
    assert line in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("letters", "what"), [(LENGTH - 10, CUT_PROMPT), (LENGTH, LONG_ANSWER)])
def test_what_does_not_fit_a_search_is_said(
    letters: int, what: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "searched.json"
    longer = [{**w, "output": w["output"] + "x" * letters * (i % 2)} for i, w in enumerate(WORDS)]
    file.write_text(json.dumps(longer))
    parts = [task_defs.pairs_file(file, part).pairs for part in ("validation", "test")]
    searched, counted = [(sum(len(y) > letters for _, y in part), len(part)) for part in parts]
    assert searched[0] > 0
    words = ["compare", *asked(folder, str(file)), "--budget", "2"]
    arms = ["--arms", "zero_shot,icv", "-o", str(tmp_path / "out")]
    assert main([*words, *arms]) == 0
    records = {record.arm: record for record in load_all(tmp_path / "out")}
    assert (records["icv"].tuning or {})["unfit"] == {"requests": searched[1], what: searched[0]}
    line = f"searched: {what} on the validation split: icv {searched[0]} of {searched[1]} requests."
    assert line in capsys.readouterr().out
    assert line in (tmp_path / "out" / "report.md").read_text()
    assert line in html.unescape((tmp_path / "out" / "report.html").read_text())
    own = f"{counted[0]} of {counted[1]}"
    both = f"searched: {what}: zero_shot {own}, icv {own} requests."
    assert both in (tmp_path / "out" / "report.md").read_text()


def test_a_sweep_says_what_does_not_fit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", *asked(folder, "long.json"), "--method", "icv", "--metric", "target_logprob"]
    assert main([*words, "--coefficients", "0.1", "-o", str(tmp_path)]) == 0
    held = task_defs.pairs_file(folder / "long.json", "validation").pairs
    beyond = sum(len(y) > LENGTH for _, y in held)
    assert f"{beyond} of {len(held)} requests: {LONG_ANSWER}" in capsys.readouterr().out


def test_answers_that_cannot_be_scored_are_said_by_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *asked(folder, "long.json"), "-o", str(tmp_path)]) == 0
    unfit = json.loads((tmp_path / "results.json").read_text())["long"]["unfit"]
    held = task_defs.pairs_file(folder / "long.json", "test").pairs
    beyond = sum(len(y) > LENGTH for _, y in held)
    assert 0 < beyond < len(held)
    assert unfit == {"requests": len(held), LONG_ANSWER: beyond}
    assert f"long: {beyond} of {len(held)} requests: {LONG_ANSWER}" in capsys.readouterr().out


def test_lm_evals_own_results_say_it(folder: Path) -> None:
    lm = SteeredLM(str(folder / "model"), device="cpu", dtype="float32", batch_size=4)
    task = task_defs.pairs_task(folder / "long.json")
    results = simple_evaluate(lm, tasks=[task], bootstrap_iters=0)
    held = task_defs.pairs_file(folder / "long.json", "test").pairs
    assert results["config"]["unfit"]["long"]["requests"] == len(held)
    assert results["config"]["unfit"]["long"][LONG_ANSWER] > 0


@pytest.mark.parametrize(
    ("target", "said"),
    [("{{output if output[-1] != '7' else ''}}", "targets of train are empty"),
     ("{{output if output[-1] != '7' else (1 / 0)}}", "targets of train cannot be rendered"),
     ("{{output if output[-1] != '7' else ' '}}", "targets of train are empty")],
)  # fmt: skip
def test_validate_reads_every_target(
    target: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps(WORDS))
    (tmp_path / "t.yaml").write_text(
        "class: !function task_defs.task.PairsTask\ntask: t\ndataset_kwargs: {file: pairs.json}\n"
        f'doc_to_target: "{target}"\n'
        "metadata: {suite: s, version: 1.0, headline: acc, shots: 3}\n"
    )
    assert main(["validate", str(tmp_path)]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        ("max_gen_toks=abc", "max_gen_toks"), ("max_gen_toks=[1]", "max_gen_toks"),
        ("temperatur=1", "temperatur"), ("num_beams=many", "num_beams"),
        ("do_sample=true,temperature=-1", "temperature"), ("until=5", "until"),
        ("num_return_sequences=3", "num_return_sequences"), ("top_k=0.5,do_sample=true", "top_k"),
    ],
)  # fmt: skip
def test_generation_settings_that_cannot_be(
    folder: Path, asked_for: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"pretrained={folder / 'model'},dtype=float32,max_length=400"
    words = ["run", "--model", "hf", "-a", model, "--tasks", "formality", "--limit", "1"]
    code = main([*words, "--gen_kwargs", asked_for])
    error = [line for line in capsys.readouterr().err.split("\n") if line.startswith("steergauge")]
    assert code == 2, error
    assert len(error) == 1
    assert said in error[0]
    assert "gen_kwargs" in error[0]


def test_more_demonstrations_than_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *asked(folder, "pairs.json"), "-f", "1000"]) == 2
    assert "--num_fewshot 1000: task pairs has" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["fv:default", "icv:default", "task_vector:default"])
@pytest.mark.parametrize("learned", [True, False])
def test_a_fit_on_prompts_beyond_the_context(
    method: str, learned: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if learned:  # beyond its positions such a model has none; the other one goes on, and says so
        tokens = tokenizer(None)
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(tokens), n_embd=32, n_layer=2, n_head=4, n_positions=LENGTH,
            bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
        tokens.save_pretrained(tmp_path / "model")
    steering.tokens._warn.cache_clear()
    model = f"pretrained={(tmp_path if learned else folder) / 'model'},dtype=float32"
    words = ["compare", "--model", "hf", "-a", model, "--data", str(folder / "pairs.json")]
    arms = ["--arms", f"zero_shot,{method}", "--limit", "2", "-o", str(tmp_path / "out")]
    short = method.startswith("icv")  # fitted on single demonstrations
    assert main([*words, *arms]) == (2 if learned and not short else 0)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert (f"the model's context {LENGTH}" in error + caplog.text) != short
