"""docs/coming-from.md: their lines and ours, run word for word on one model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.harness.tiny import WIDTH, save_checkpoint

PAGE = Path(__file__).parents[1] / "docs" / "coming-from.md"
SECTIONS = {
    title: re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for title, text in re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
}


def logits(code: str, **given: Any) -> torch.Tensor:
    with torch.no_grad():
        exec(compile(code, PAGE.name, "exec"), given)
    return given["logits"]


@pytest.mark.filterwarnings("ignore")  # other people's
@pytest.mark.parametrize("title", SECTIONS)
def test_their_lines_and_ours_give_equal_logits(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs, ours = SECTIONS[title]
    folder = save_checkpoint(tmp_path / "checkpoint")
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(0))
    torch.save(direction, "vec_layer_1_tiny.pt")
    given = {"ids": torch.tensor([[5, 6, 7, 8]]), "direction": direction, "folder": str(folder)}
    found = []
    for code in (theirs, ours):  # a fresh model for each: some leave theirs changed
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        for name in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
            try:
                __import__(name)
            except Exception as problem:  # whatever a foreign package raises
                pytest.skip(f"{name}, whose code is compared with, cannot be imported: {problem}")
        found.append(logits(code, torch=torch, model=model, **given))
        plain = AutoModelForCausalLM.from_pretrained(folder)(given["ids"]).logits
        assert not torch.equal(found[-1], plain)
    assert torch.equal(*found)
