"""Where a model is edited: found by structure, refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

from steering import NotFinite, UnsupportedModel, check_sites, resolve
from tests.harness.zoo import CONFIGS, HEADS, LAYERS, WIDTH, save

HEAD_DIMS = {"qwen3": 12, "gemma2": 12, "gemma3": 12}


@pytest.mark.parametrize("name", CONFIGS)
def test_layout_of_every_architecture(name: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(save(name, tmp_path)).eval()
    layout = resolve(model)
    assert (layout.n_layers, layout.n_heads, layout.hidden_size) == (LAYERS, HEADS, WIDTH)
    assert layout.head_dim == HEAD_DIMS.get(name, WIDTH // HEADS)
    check_sites(model)


def test_heads_write_what_the_whole_projection_writes(tmp_path: Path) -> None:
    for name in ("gpt2", "qwen3", "opt"):
        model = AutoModelForCausalLM.from_pretrained(save(name, tmp_path / name)).eval()
        layout = resolve(model)
        x = torch.randn(layout.n_heads, layout.head_dim)
        parts = sum(layout.project(1, head, x[head]) for head in range(layout.n_heads))
        projection = layout.projections[1]
        with torch.no_grad():
            whole = projection(x.flatten()[None])[0]
        bias = getattr(projection, "bias", None)
        expected = whole if bias is None else whole - bias
        torch.testing.assert_close(parts, expected.detach(), atol=1e-5, rtol=1e-5)


def test_a_model_without_attention_is_refused_in_one_line() -> None:
    config = MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=2, state_size=4)
    with pytest.raises(UnsupportedModel) as caught:
        resolve(MambaForCausalLM(config))
    assert "\n" not in str(caught.value)
    assert "MambaForCausalLM" in str(caught.value)


def test_a_site_that_does_not_reach_the_logits_is_found(model: Any) -> None:
    class Deaf(nn.Module):
        """A block's MLP that runs and is not listened to."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return 0 * self.inner(*args, **kwargs)

    import copy

    broken = copy.deepcopy(model)
    layer = resolve(broken).blocks[1]
    layer.mlp = Deaf(layer.mlp)
    object.__setattr__(broken, "_unused", None)
    with pytest.raises(UnsupportedModel, match="layer 1"):
        _check_inner(broken)


def _check_inner(model: Any) -> None:
    """Resolve the deaf model so that its MLP site is the inner module."""
    import dataclasses

    from steering import sites

    layout = resolve(model)
    inner = tuple(getattr(mlp, "inner", mlp) for mlp in layout.mlps)
    sites._layouts[model] = dataclasses.replace(layout, mlps=inner)
    check_sites(model)


def test_a_model_whose_logits_are_no_numbers_is_refused(model: Any) -> None:
    import copy

    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(NotFinite, match="NaN"):
        check_sites(broken)
