from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from task_defs import Examples, Template
from tests.harness.tiny import save_checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_checkpoint(tmp_path_factory.mktemp("steering"))


@pytest.fixture(scope="session")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def examples() -> Examples:
    pairs = tuple((a, a.upper() + a) for a in "abcdefghijklmnopqrst")
    template = Template("Q: {{input}}\nA:", "{{output}}")
    return Examples("letters", pairs, 2, template, instruction="Say it twice.")
