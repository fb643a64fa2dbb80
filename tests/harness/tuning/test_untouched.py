"""A fit of somebody else's that changes the model ends the comparison: nothing after it counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import BatchNorm1d, Linear, Parameter, Sequential

from harness.cli import main
from harness.errors import ModelChanged
from harness.lm.loading import load
from harness.tuning.untouched import untouched
from reports.record import load_all
from tests.harness.test_exit_codes import METHOD, PAIRS


def scaled(model: Any) -> None:
    with torch.no_grad():
        model[1].weight.mul_(2)


def behind_its_back(model: Any) -> None:
    model[1].weight.data.mul_(2)


def replaced(model: Any) -> None:
    model[1].weight = Parameter(model[1].weight.detach().clone())


def hooked(model: Any) -> None:
    model[0].register_forward_hook(lambda *_: None)


def trained(model: Any) -> None:
    model.train()


def longer(model: Any) -> None:
    model.append(Linear(4, 4))


def in_one_place(model: Any) -> None:
    model[1].weight.data[1, 2] += 1e-2


def a_buffer(model: Any) -> None:
    model[2].running_mean.add_(1)


def a_setting(model: Any) -> None:
    model[2].eps = 1.0


def another_forward(model: Any) -> None:
    inner = model[0].forward
    model[0].forward = lambda x: 2 * inner(x)


@pytest.mark.parametrize(
    "change",
    [scaled, behind_its_back, replaced, hooked, trained, longer, in_one_place, a_buffer, a_setting,
     another_forward],
)  # fmt: skip
def test_every_trace_is_seen(change: Callable[[Any], None]) -> None:
    model = Sequential(Linear(4, 4), Linear(4, 4), BatchNorm1d(4)).eval()
    with (
        pytest.raises(ModelChanged, match="fit changed the model") as caught,
        untouched(model, "fit"),
    ):
        change(model)
    assert "\n" not in str(caught.value)


def test_what_is_undone_is_no_change() -> None:
    model = Sequential(Linear(4, 4), Linear(4, 4), BatchNorm1d(4)).eval()
    with untouched(model, "fit"):
        handle = model[0].register_forward_hook(lambda *_: None)
        model(torch.ones(1, 4)).sum().backward()
        handle.remove()


@pytest.mark.parametrize(
    "change",
    [lambda lm: setattr(lm.model.config, "use_cache", False),
     lambda lm: lm.model.set_attn_implementation("eager"),
     lambda lm: setattr(lm.model.generation_config, "repetition_penalty", 2.0),
     lambda lm: setattr(lm.tokenizer, "chat_template", "x"),
     lambda lm: lm.tokenizer.add_tokens(["colour"])],
    ids=["config", "attention", "generation", "template", "vocabulary"],
)  # fmt: skip
def test_what_stands_beside_the_weights_is_seen(
    checkpoint: Path, change: Callable[[Any], None]
) -> None:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"})
    with (
        pytest.raises(ModelChanged, match="fit changed the model"),
        untouched(lm.model, "fit", lm.tokenizer),
    ):
        change(lm)


def test_how_a_tokenizer_pads_is_put_back(checkpoint: Path) -> None:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"})
    before = lm.tokenizer.padding_side, lm.tokenizer.pad_token
    with untouched(lm.model, "fit", lm.tokenizer):
        lm.tokenizer.pad_token = lm.tokenizer.eos_token
        lm.tokenizer.padding_side = {"left": "right", "right": "left"}[before[0]]
    assert (lm.tokenizer.padding_side, lm.tokenizer.pad_token) == before


def test_a_comparison_ends_there(
    checkpoint: Path, tmp_path: Path, fresh_registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "next(model.parameters()).data.mul_(0)"
    (tmp_path / "spoils.py").write_text(METHOD.format(name="Spoils", label="spoils", body=body))
    (tmp_path / "pairs.json").write_text(PAIRS)
    model = ["--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32"]
    asked = ["--data", str(tmp_path / "pairs.json"), "--limit", "2", "--budget", "1"]
    arms = ["--arms", "spoils,zero_shot", "--include_method", str(tmp_path / "spoils.py")]
    out = tmp_path / "out"
    assert main(["compare", *model, *asked, *arms, "-o", str(out)]) == 2
    assert "spoils.fit on pairs changed the model" in capsys.readouterr().err
    assert not load_all(out)  # not even the baseline, on the spoiled model


@pytest.mark.parametrize(
    ("space", "said"),
    [("{'layer': 5}", "layer is int, expected Choice"), ("[1]", "search_space of odd"),
     ("{}[0]", "KeyError")],
)  # fmt: skip
def test_a_space_that_is_none(
    space: str, said: str, checkpoint: Path, tmp_path: Path, fresh_registry: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    text = METHOD.format(name="Odd", label="odd", body="return None")
    (tmp_path / "odd.py").write_text(text.replace("return {}", f"return {space}"))
    (tmp_path / "pairs.json").write_text(PAIRS)
    model = ["--model", "hf", "-a", f"pretrained={checkpoint},dtype=float32"]
    asked = ["--data", str(tmp_path / "pairs.json"), "--limit", "2", "--budget", "1"]
    arms = ["--arms", "odd", "--include_method", str(tmp_path / "odd.py")]
    assert main(["compare", *model, *asked, *arms, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
