"""What part of an attention's output reaches the residual stream where a norm follows it.

A norm divides its whole input by one number, so that what it makes of a part depends on the rest.
At the layer's mean scale it is linear in the part:

    gain(v) = N(v) scale(v) / mean of scale(a),   scale(x) = sqrt(mean(x^2))

a being the attention's outputs at the ends of prompts, N the norm without its bias. Where N takes
away the mean (LayerNorm), scale does too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from steering.activations import ends
from steering.errors import BadSetting
from steering.sites import resolve

Gain = Callable[[Tensor], Tensor]


def mean_gains(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, bos: bool = False
) -> list[Gain]:
    """For each layer, what its norm makes of a part (d) of the attention's output.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        prompts: n prompts; one batch of them is enough, the scale hardly varies.
        bos: As in `tokens.prompt_ids`.

    Returns:
        Layers without such a norm leave the part as it is.

    Raises:
        BadSetting: no layer has one.
    """
    layout = resolve(model)
    if not any(layout.norms):
        raise BadSetting(
            "post_norm: this model adds what attention writes as it is (its block is "
            f"{layout.residuals[0]}), expected a norm after the projection; leave it out"
        )
    layers = layout.layers("attn_output")
    states = dict(zip(layers, ends(model, tokenizer, prompts, "attn_output", bos=bos), strict=True))
    return [
        _chain(norms, states[layer]) if norms else _unchanged
        for layer, norms in enumerate(layout.norms)
    ]


def _unchanged(x: Tensor) -> Tensor:
    return x


def _chain(norms: Sequence[nn.Module], outputs: Tensor) -> Gain:
    """One norm after the other, each at the mean scale of what it gets (n, d)."""
    steps = []
    for norm in norms:
        steps.append(_frozen(norm, outputs))
        outputs = _applied(norm, outputs)

    def gain(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return gain


def _frozen(norm: nn.Module, outputs: Tensor) -> Gain:
    """A norm at the mean scale of its inputs (n, d)."""
    moved = _applied(norm, outputs + _scale(outputs, centred=False))
    centred = torch.allclose(moved, _applied(norm, outputs), rtol=1e-2, atol=1e-3)
    mean = _scale(outputs, centred=centred).mean()

    def step(x: Tensor) -> Tensor:
        size = _scale(x, centred=centred)
        if not size:
            return torch.zeros_like(x)
        both = _applied(norm, torch.stack([x * (mean / size), torch.zeros_like(x)]))
        return (both[0] - both[1]) * (size / mean)

    return step


def _scale(x: Tensor, *, centred: bool) -> Tensor:
    own = x - x.mean(dim=-1, keepdim=True) if centred else x
    return own.square().mean(dim=-1, keepdim=True).sqrt()


@torch.no_grad()
def _applied(norm: nn.Module, x: Tensor) -> Tensor:
    """A norm's output for rows (n, d), in float32 on the CPU."""
    weight = next(norm.parameters(), torch.zeros(()))
    hook = getattr(norm, "_hf_hook", None)  # which brings offloaded weights
    device = getattr(hook, "execution_device", "cpu") if weight.is_meta else weight.device
    result: Tensor = norm(x.to(device, weight.dtype))
    return result.float().cpu()
