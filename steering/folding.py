"""Constant edits as biases: the same sums without a hook.

What is added at all positions of a block's residual stream can as well be added by the linear
layer that writes there last. Where a norm follows that layer it cannot; a probe against the hooks
finds out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steering.edit import Edit
from steering.errors import BadVector
from steering.layout import Layout
from steering.sites import resolve
from steering.tracing import input_device

TOLERANCE = 1e-3
"""Relative to the largest logit: rounding differs, a wrong place shows by far more."""


@contextmanager
def biased(model: nn.Module, edits: Sequence[Edit], coefficient: float) -> Iterator[None]:
    """Add edits to biases inside the block; afterwards the very same parameters are back.

    Args:
        model: A Hugging Face decoder.
        edits: Edits that add at all positions, at any site but head_output.
        coefficient: Strength.

    Raises:
        BadVector: an edit that is not constant, or a layer that cannot take it.
    """
    layout = resolve(model)
    writers = [_writer(layout, edit) for edit in edits]
    before = [(module, module.bias) for module in writers]
    try:
        for (module, _), edit in zip(before, edits, strict=True):
            own = module.bias if module.bias is not None else 0.0
            module.bias = nn.Parameter(own + coefficient * edit.tensor.to(module.weight), False)
        yield
    finally:
        for module, bias in reversed(before):
            module.bias = bias


def _writer(layout: Layout, edit: Edit) -> Any:
    """The linear layer whose output an edit is added to."""
    if (edit.operation, edit.positions, edit.head) != ("add", "all", None):
        raise BadVector(
            f"fold=True takes edits that add at all positions, got {edit.operation!r} at "
            f"{edit.positions!r}; attach this vector without it"
        )
    site = "attn_output" if edit.site == "attn_output" else "mlp_output"
    place = layout.module(site, edit.layer)
    found = [m for m in place.modules() if isinstance(m, nn.Linear | Conv1D)]
    if edit.site == "head_output" or not found:
        raise BadVector(
            f"no layer can take an edit at {edit.site} as its bias; leave out fold=True"
        )
    if found[-1].weight.is_meta:
        raise BadVector("offloaded weights take no bias; leave out fold=True")
    return found[-1]


@torch.no_grad()
def probe(model: Any) -> Tensor:
    """Logits of three tokens (1, 3, v), by which a folded model is compared with a hooked one."""
    size = model.get_input_embeddings().num_embeddings
    ids = torch.tensor([[1, 2, 3]], device=input_device(model)) % size
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits.float()


def require_equal(folded: Tensor, hooked: Tensor) -> None:
    """Raise BadVector where a bias does not do what the hooks do."""
    if not torch.allclose(folded, hooked, atol=TOLERANCE * float(hooked.abs().max()), rtol=0):
        raise BadVector(
            "this architecture changes what its linear layers write (a norm follows), so that a "
            "bias is not the edit; leave out fold=True"
        )
