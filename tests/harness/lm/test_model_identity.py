"""A model's name by content covers what decides its outputs beside weights and configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.lm.loading import identity, load


def named(folder: Path, **more: str) -> str:
    return identity(load("hf", {"pretrained": str(folder), "dtype": "float32", **more}))


@pytest.mark.parametrize(
    "setting",
    [{"repetition_penalty": 5.0}, {"suppress_tokens": [7, 8]}, {"eos_token_id": [2, 20]}],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_of_generation(checkpoint: Path, tmp_path: Path, setting: dict[str, Any]) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    assert named(own) == named(checkpoint)
    file = own / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | setting))
    assert named(own) != named(checkpoint)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing")  # peft asks in an old way
def test_the_strength_of_an_adapter(checkpoint: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["v_proj"], init_lora_weights=False)
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    peft.get_peft_model(model, config).save_pretrained(tmp_path)
    before = named(checkpoint, peft=str(tmp_path))
    assert before == named(checkpoint, peft=str(tmp_path))
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_alpha": 40}))
    assert named(checkpoint, peft=str(tmp_path)) != before


def test_a_kept_buffer(checkpoint: Path) -> None:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"})
    before = identity(lm)
    lm.model.model.layers[0].register_buffer("shift", torch.zeros(3))
    assert identity(lm) != before
    own = identity(lm)
    lm.model.model.layers[0].shift += 1
    assert identity(lm) != own
