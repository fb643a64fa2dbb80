"""Whatever decides a number on the command line can be asked for in an evaluation file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cases.evals import Asked, Stored
from harness.cli import parser
from tests.harness.plugin.conftest import run

ELSEWHERE = {
    "model", "model_args", "batch_size", "device",  # --steer-model
    "apply_chat_template", "no_chat_template",  # chat_template: always, never
}  # fmt: skip
NO_NUMBER = {"help", "max_memory", "output_path", "executor", "workers", "resources", "dry_run",
             "judge_check", "include_method"}  # fmt: skip
"""Where, how fast and with what it runs; a conftest.py registers methods."""


def options() -> set[str]:
    (places,) = [a for a in parser("compare")._actions if a.dest == "command"]
    own = places.choices["compare"]._actions  # type: ignore[index,union-attr,call-overload]
    return {action.dest for action in own}


def test_every_option_that_decides_a_number() -> None:
    keys = set(Stored.__annotations__)
    assert options() - ELSEWHERE - NO_NUMBER == keys - {"at_least"}
    assert keys == set(Asked.__dataclass_fields__)


ASKED = """
data: pairs.json
arms: [zero_shot, icv]
budget: 2
limit: 3
dose: 0.02
side_effects: small
include_path: tasks
judge: lexicon
gen_kwargs: {max_gen_toks: 4}
at_least: {icv: 0.0}
"""


def test_side_effects_are_cases_of_their_own(project: pytest.Pytester) -> None:
    folder = Path(project.path / "tasks")
    folder.mkdir()
    pairs = [{"input": f"x{i}", "output": f"y{i}"} for i in range(40)]
    (folder / "own.json").write_text(json.dumps(pairs))
    (folder / "small.yaml").write_text(
        "task: small\nclass: !function task_defs.task.PairsTask\ndataset_kwargs: {file: own.json}\n"
        "metadata: {suite: s, version: 1.0, headline: target_logprob}\n"
    )
    (project.path / "small.eval.yaml").write_text(ASKED)
    written = project.path / "o.json"
    run(project, "-v", f"--steer-json={written}").assert_outcomes(passed=2)
    found = {
        outcome["name"].split(" ", 1)[1]: outcome for outcome in json.loads(written.read_text())
    }
    assert found.keys() == {
        "pairs zero_shot 0", "pairs icv 0", "small zero_shot 0 on small", "pairs icv 0 on small",
    }  # fmt: skip
    # Below at_least of its own target, which is no matter of a side task.
    assert found["pairs icv 0 on small"]["value"] < 0
    assert found["pairs icv 0 on small"]["status"] == "measured"


@pytest.mark.parametrize(
    ("line", "said"),
    [("dose: 1000", "dose"), ("dose: -1", "dose"),
     ("templates: 0", "templates"), ("judge: nobody", "nobody"), ("gen_kwargs: 3", "gen_kwargs"),
     ("side_effects: uppercase\narms: zero_shot", "no arm steers")],
)  # fmt: skip
def test_mistakes(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "x.eval.yaml"
    path.write_text(f"tasks: antonym\n{line}\n")
    with pytest.raises(ValueError, match=said) as found:
        Asked.read(path).cases("reference")
    assert "\n" not in str(found.value)
