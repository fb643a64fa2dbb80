"""Weights in odd places and shapes: offloaded, missing, quantised, adapted, of low precision."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from harness.lm.loading import identity
from steering import FunctionVector, UnsupportedModel, check_sites, resolve
from task_defs import Examples
from tests.harness.zoo import HEADS, WIDTH, made, save


@pytest.fixture
def offloaded(tmp_path: Path) -> Any:
    save("llama", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    accelerate.disk_offload(model, tmp_path / "disk", execution_device="cpu")
    assert all(parameter.is_meta for parameter in model.parameters())
    return model, AutoTokenizer.from_pretrained(tmp_path / "model")


def test_offloaded_weights_fit_and_steer(offloaded: Any, examples: Examples) -> None:
    model, tokenizer = offloaded
    here = made("llama")
    check_sites(model)
    method = FunctionVector(mean_prompts=4, effect_prompts=2, top_heads=3)
    found = method.fit(model, tokenizer, examples)
    expected = method.fit(here, tokenizer, examples)
    assert found.provenance["heads"] == expected.provenance["heads"]
    torch.testing.assert_close(found.edits[0].tensor, expected.edits[0].tensor)
    names = [
        identity(SimpleNamespace(model=each, tokenizer=tokenizer))  # type: ignore[arg-type]
        for each in (model, AutoModelForCausalLM.from_pretrained(model.config._name_or_path))
    ]
    assert names[0] == names[1]


def test_weights_that_nothing_brings_are_refused() -> None:
    config = AutoConfig.for_model("llama", vocab_size=40, hidden_size=16, num_hidden_layers=2,
                                  num_attention_heads=2, intermediate_size=16)  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UnsupportedModel, match="has no weights"):
        check_sites(model)


class Quantised(nn.Module):
    """A linear map with weights of 8 bits, as quantisers keep them."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = inner.in_features, inner.out_features
        self.scale = float(inner.weight.detach().abs().max()) / 127
        whole = (inner.weight.detach() / self.scale).round().to(torch.int8)
        self.weight = nn.Parameter(whole, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.weight.to(x.dtype) * self.scale).T


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing")  # peft asks in an old way
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["plain", "quantised", "lora"])
def test_other_weights_and_dtypes_are_proved(kind: str, dtype: torch.dtype) -> None:
    model = made("llama").to(dtype)
    if kind == "quantised":
        for block in model.model.layers:
            block.self_attn.o_proj = Quantised(block.self_attn.o_proj)
    elif kind == "lora":
        peft = pytest.importorskip("peft")
        config = peft.LoraConfig(target_modules=["o_proj", "down_proj"], init_lora_weights=False)
        model = peft.get_peft_model(model, config).eval()
    check_sites(model)
    layout = resolve(model)
    projection: Any = layout.module("attn_output", 1)
    assert projection.in_features == WIDTH
    if dtype == torch.float32:
        x = torch.randn(WIDTH)
        parts = [layout.project(1, h, layout.split_heads(x, 1)[h]) for h in range(HEADS)]
        with torch.no_grad():
            expected = projection(x[None])[0]
        off = (torch.stack(parts).sum(0) - expected).abs().max()
        assert off <= (2e-2 if kind == "quantised" else 1e-5) * expected.abs().max()
