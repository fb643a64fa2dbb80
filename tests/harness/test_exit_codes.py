"""Two for what the user can mend, in one line; three for what only we can; one is a regression."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import harness.commands.ls
from harness.cli import main
from harness.commands.options import include_methods
from harness.errors import UsageError
from steering import SteeringMethod, get, names
from steering.errors import BadSetting
from steering.method import register

PAIRS = json.dumps([{"input": f"in{i}", "output": f"out{i}"} for i in range(40)])
METHOD = """import sys
from dataclasses import dataclass
from typing import ClassVar
from steering import SteeringMethod, register

@register
@dataclass(frozen=True, kw_only=True)
class {name}(SteeringMethod):
    name: ClassVar[str] = "{label}"
    summary: ClassVar[str] = "a test"

    @classmethod
    def search_space(cls, shape):
        return {{}}

    def fit(self, model, tokenizer, examples):
        {body}
"""


def code_of(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as leaving:
        return int(leaving.code or 0)


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (KeyError("x"), 3, "Traceback"),
        (ValueError("x"), 3, "Traceback"),
        (ZeroDivisionError("x"), 3, "Traceback"),
        (AssertionError(), 3, "Traceback"),
        (RecursionError("x"), 3, "Traceback"),
        (UsageError("what to do"), 2, "steergauge: what to do"),
        (BadSetting("what to do"), 2, "steergauge: what to do"),
        (FileNotFoundError(2, "No such file", "a/b"), 2, "steergauge: a/b: No such file"),
        (PermissionError(13, "Permission denied", "a"), 2, "steergauge: a: Permission denied"),
        (MemoryError("x"), 2, "steergauge: out of memory"),
        (KeyboardInterrupt(), 130, "steergauge: interrupted"),
    ],
)
def test_who_has_to_mend_it(
    problem: BaseException, code: int, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def failing(_: object) -> int:
        raise problem

    failing.__code__ = failing.__code__.replace(co_filename=harness.commands.ls.__file__)
    monkeypatch.setattr(harness.commands.ls, "execute", failing)
    assert code_of("ls") == code
    error = capsys.readouterr().err
    assert said in error
    if code != 3:
        assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        "run --tasks ,", "run --tasks=", "compare --suite=", "compare --arms=", "compare --data=",
        "run --batch_size 0", "run -b auto:0", "run -f -1", "run --limit 1e3", "fit --method=",
        "compare --dose 1e-300", "compare --max_memory 1e300", "compare --seeds 0,-1",
        "gate x --baseline y --tolerance nan", "gate x --baseline y --slowdown inf",
        "gate x --baseline y --tolerance -0.1", "run -a a=1,a=2", "run -a {",
        "run --coefficient nan",
        "run --tasks antonym --device nonsense", "run --tasks antonym --device cuda:77",
        "run --tasks antonym -a max_length=abc", "run --tasks antonym -a max_length=0",
        "run --tasks antonym -a dtype=float33", "run --tasks antonym -a trust_remote_code=7",
        "gate nowhere --baseline y", "report nowhere", "status nowhere", "validate nowhere",
        "run --tasks a/b", "run --tasks ../up",
    ],
)  # fmt: skip
def test_options_that_cannot_be(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*words.split(" ")) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1, error
    assert error.startswith("steergauge")


@pytest.mark.parametrize(
    "words",
    [("report", "\x1b[2Jno"), ("run", "--data", "\x1b[2Ja\nb\u202e.json"), ("ls", "--\x1b[2Jno"),
     ("gate", ".", "--baseline", "\x1b[2J"), ("run", "--model", "\x1b[2J", "--tasks", "antonym")],
    ids=lambda words: " ".join(words[:2]).encode("unicode_escape").decode(),
)  # fmt: skip
def test_control_characters_are_shown_and_not_obeyed(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*words) == 2
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit(0)", "sys.exit: 0"),
        ("raise SystemExit", "sys.exit"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import nowhere_at_all", "ModuleNotFoundError"),
        ("raise BaseException('x')", "BaseException: x"),
        ("raise GeneratorExit('x')", "GeneratorExit: x"),
        (METHOD.format(name="A", label="a@b", body="pass"), "expected up to 60 letters"),
        (METHOD.format(name="FunctionVector", label="fv", body="pass"), "'fv' is taken"),
        (METHOD.format(name="InContextVector", label="icv", body="pass"), "'icv' is taken"),
    ],
)
def test_a_method_file_that_fails(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], fresh_registry: None
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    before = get("fv"), get("icv")
    out = str(tmp_path / "out")
    assert code_of("compare", "--include_method", str(file), "-o", out) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert (get("fv"), get("icv")) == before


@pytest.mark.parametrize("name", ["random", "torch", "harness", "mine"])
def test_a_method_file_takes_no_modules_place(
    name: str, tmp_path: Path, fresh_registry: None
) -> None:
    before = sys.modules.get(name)
    for folder in ("one", "two"):
        file = tmp_path / folder / f"{name}.py"
        file.parent.mkdir()
        label = f"{folder}-{name}"
        file.write_text(METHOD.format(name="Own", label=label, body="pass"))
        for _ in range(2):  # the same file may be read again
            include_methods([file])
        assert get(label).__qualname__ == "Own"
    assert sys.modules.get(name) is before
    assert random.Random(0).random()
    assert {f"one-{name}", f"two-{name}"} <= set(names())


def test_a_class_of_the_same_name_elsewhere_does_not_replace_a_method() -> None:
    body: dict[str, Any] = {"name": "fv", "__qualname__": "FunctionVector", "__module__": __name__}
    other = type("FunctionVector", (SteeringMethod,), body)
    with pytest.raises(BadSetting, match=r"'fv' is taken by FunctionVector in .*steering"):
        register(other)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(0)", "line 17: sys.exit: 0"),
        ("return {}['x']", "line 17: KeyError"),
        ("return None", "returned NoneType, expected a SteeringVector"),
    ],
)
def test_a_fit_that_fails(
    body: str, said: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    fresh_registry: None,
) -> None:  # fmt: skip
    (tmp_path / "pairs.json").write_text(PAIRS)
    (tmp_path / "mine.py").write_text(METHOD.format(name="Mine", label="mine", body=body))
    given = ["--include_method", str(tmp_path / "mine.py"), "--data", str(tmp_path / "pairs.json")]
    model = ["--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32"]
    fit = ["fit", "--method", "mine", *model, *given, "-o", str(tmp_path / "vector")]
    assert code_of(*fit) == 2
    assert said in capsys.readouterr().err
    arms = ["--arms", "zero_shot,mine", "--limit", "2", "--budget", "1"]
    out = tmp_path / "out"
    assert code_of("compare", *model, *given, *arms, "-o", str(out)) == 2
    assert said in capsys.readouterr().err
    assert len(list(out.glob("records/*/record.json"))) == 1  # what does not need it is measured


@pytest.mark.parametrize(
    "body",
    ["sys.exit(0)", "return 1 / 0", "return None", "return {'acc': 'high'}",
     "return {'acc': [1.0]}"],
)  # fmt: skip
def test_a_tasks_function_that_fails_while_it_is_asked(
    body: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.json").write_text(PAIRS)
    (tmp_path / "own.py").write_text(f"import sys\ndef results(doc, answers):\n    {body}\n")
    (tmp_path / "own.yaml").write_text(
        "task: own\nclass: !function task_defs.task.PairsTask\ndataset_kwargs: "
        "{file: pairs.json}\nprocess_results: !function own.results\n"
    )
    model = ["--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32"]
    where = ["--include_path", str(tmp_path), "--tasks", "own", "--limit", "2"]
    code = code_of("run", *model, *where, "-o", str(tmp_path / "out"))
    said = capsys.readouterr().err.strip()
    assert code == 2, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("steergauge: process_results of task own")


@pytest.mark.parametrize("seconds", [0.12, 0.2, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("command", [["ls"], ["compare", "--tasks", "antonym"]])
def test_ctrl_c_at_once(seconds: float, command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path,
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    if b"harness" in error or process.returncode not in (0, 1, -2):  # Python itself was up
        assert process.returncode in (0, 130), error
        assert b"Traceback" not in error
