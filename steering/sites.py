"""Find the places of a decoder that can be read and edited, by structure alone.

| site | what is edited |
|---|---|
| block_output | the residual stream after a block |
| attn_output | the output of the attention's output projection, before the residual add |
| mlp_output | the output of the MLP, before the residual add |
| head_output | the INPUT of the output projection: heads side by side, head_dim each |

Where a model normalises after the projection or the MLP (Gemma-2, Gemma-3, OLMo-2), attn_output
and mlp_output lie before that norm.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steering.errors import UnsupportedModel
from steering.space import Shape

SITES = ("block_output", "attn_output", "mlp_output", "head_output")
_ATTENTION_ARGUMENTS = {"attention_mask", "position_embeddings", "past_key_values", "alibi"}


@dataclass(frozen=True)
class Layout:
    """A resolved decoder.

    Attributes:
        decoder: The module that owns the blocks.
        blocks: One module per layer (l).
        attentions: The attention of each layer.
        mlps: The module of each layer whose output is the MLP's contribution to the residual.
        projections: The attention's output projection of each layer.
        n_layers: Number of layers.
        n_heads: Number of query heads (h).
        head_dim: Width of one head (d_h), read from the output projection.
        hidden_size: Width of the residual stream (d).
        windows: Tokens that each layer's attention sees; None sees all before.
    """

    decoder: nn.Module
    blocks: tuple[nn.Module, ...]
    attentions: tuple[nn.Module, ...]
    mlps: tuple[nn.Module, ...]
    projections: tuple[nn.Module, ...]
    n_layers: int
    n_heads: int
    head_dim: int
    hidden_size: int
    windows: tuple[int | None, ...]

    @property
    def shape(self) -> Shape:
        """What search spaces are made for."""
        return Shape(self.n_layers, self.n_heads, self.hidden_size)

    def width(self, site: str) -> int:
        """Width of the activations at a site."""
        return self.n_heads * self.head_dim if site == "head_output" else self.hidden_size

    def module(self, site: str, layer: int) -> nn.Module:
        """The module whose output (head_output: whose input) is the site."""
        modules = {
            "block_output": self.blocks,
            "attn_output": self.projections,
            "mlp_output": self.mlps,
            "head_output": self.projections,
        }
        return modules[site][layer]

    def split_heads(self, x: Tensor) -> Tensor:
        """The input of an output projection by head: (..., h * d_h) -> (..., h, d_h)."""
        return x.reshape(*x.shape[:-1], self.n_heads, self.head_dim)

    def with_heads(
        self, x: Tensor, rows: Tensor, tokens: Tensor, heads: Tensor, values: Tensor
    ) -> Tensor:
        """A copy of an output projection's input (b, s, h * d_h) with k slices replaced.

        Args:
            x: The input.
            rows: Row of each slice (k).
            tokens: Its token (k).
            heads: Its head (k).
            values: What is put there (k, d_h).
        """
        split = self.split_heads(x).clone()
        place = rows.to(x.device), tokens.to(x.device), heads.to(x.device)
        split[place] = values.to(x)
        return split.flatten(-2)

    @torch.no_grad()
    def project(self, layer: int, head: int, activation: Tensor, *, bias: bool = False) -> Tensor:
        """What one head writes to the residual stream: (d_h) -> (d), in float32.

        Args:
            layer: 0-based layer.
            head: 0-based query head.
            activation: The head's slice of the projection's input (d_h).
            bias: Add the projection's bias (the function-vector reference adds it per head).
        """
        projection: Any = self.projections[layer]
        weight: Tensor = projection.weight
        part = slice(head * self.head_dim, (head + 1) * self.head_dim)
        x = activation.to(weight.device).float()
        if isinstance(projection, Conv1D):
            out = x @ weight[part].float()
        elif type(projection) is nn.Linear:
            out = weight[:, part].float() @ x
        else:  # quantised or adapted weights: the module itself, its constant part taken away
            row = torch.zeros(2, self.width("head_output"), device=weight.device)
            row[1, part] = x
            dtype = weight.dtype if weight.is_floating_point() else torch.float16
            result: Tensor = projection(row.to(dtype)).float()
            return result[1] if bias else result[1] - result[0]
        own_bias = getattr(projection, "bias", None)
        return out + own_bias.float() if bias and own_bias is not None else out


_layouts: WeakKeyDictionary[nn.Module, Layout] = WeakKeyDictionary()


def resolve(model: nn.Module) -> Layout:
    """Find blocks, attentions, MLPs and heads of a Hugging Face decoder.

    Raises:
        UnsupportedModel: in one line, with what is missing.
    """
    known = _layouts.get(model)
    if known is not None and any(block is known.blocks[0] for block in known.decoder.modules()):
        return known
    name = type(model).__name__
    config = getattr(model, "config", None)
    if config is None:
        raise UnsupportedModel(f"{name} has no config; steering needs a Hugging Face causal LM")
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModel(f"{name} is an encoder-decoder; steering needs a decoder-only model")
    if hasattr(config, "get_text_config"):
        config = config.get_text_config(decoder=True)
    keys = ("num_hidden_layers", "num_attention_heads", "hidden_size")
    sizes: list[Any] = [getattr(config, key, None) for key in keys]
    if not all(isinstance(size, int) for size in sizes):
        raise UnsupportedModel(
            f"{name} has no single number of layers, heads and hidden size in its config; "
            "steering needs a decoder of attention blocks"
        )
    n_layers, n_heads, hidden_size = sizes
    reason = f"no list of {n_layers} blocks"
    for owner, blocks in _block_lists(model, n_layers):
        parts = [_parts(block, n_heads, hidden_size, config) for block in blocks]
        missing = next((i for i, part in enumerate(parts) if isinstance(part, str)), None)
        if missing is not None:
            reason = f"block {missing} ({type(blocks[missing]).__name__}) has {parts[missing]}"
            continue
        attentions, projections, mlps = zip(*parts, strict=True)
        widths = {_linear_shape(p)[0] for p in projections}  # type: ignore[index]
        if len(widths) != 1:
            reason = f"its layers have heads of different width ({sorted(widths)})"
            continue
        layout = Layout(
            owner, tuple(blocks), attentions, mlps, projections,
            n_layers, n_heads, widths.pop() // n_heads, hidden_size,
            _windows(attentions, config),
        )  # fmt: skip
        if owner is not model:  # a value that held its own key would never be freed
            _layouts[model] = layout
        return layout
    raise UnsupportedModel(f"{name} cannot be steered: {reason}; use a decoder of attention blocks")


def _windows(attentions: Sequence[nn.Module], config: Any) -> tuple[int | None, ...]:
    """Sliding windows: of each attention where layers differ, else the configuration's."""
    common = getattr(config, "sliding_window", None)
    return tuple(getattr(attention, "sliding_window", common) for attention in attentions)


def _block_lists(model: nn.Module, n_layers: int) -> Iterator[tuple[nn.Module, nn.ModuleList]]:
    for module in model.modules():
        for child in module.children():
            if isinstance(child, nn.ModuleList) and len(child) == n_layers:
                yield module, child


def _parts(block: nn.Module, n_heads: int, hidden_size: int, config: Any) -> Any:
    """(attention, projection, mlp) of a block, or what it lacks."""
    children = list(block.children())
    attention = next((child for child in children if _takes(child, _ATTENTION_ARGUMENTS)), None)
    if attention is None:
        return "no attention"
    head_dim = getattr(config, "head_dim", None) or hidden_size // n_heads
    linears = [
        (module, shape[0])
        for module in _outer_linears(attention)
        if (shape := _linear_shape(module)) and shape[1] == hidden_size and shape[0] % n_heads == 0
    ]
    # q_proj can have the same shape; the output projection is defined last
    exact = [module for module, width in linears if width == n_heads * head_dim]
    candidates = exact or [module for module, _ in linears]
    if not candidates:
        return f"no output projection from {n_heads} heads to width {hidden_size}"
    weighted = [
        child
        for child in children
        if child is not attention and any(p.ndim > 1 for p in child.parameters())
    ]
    if not weighted:
        return "no MLP"
    mlp = weighted[-1]
    if _takes(mlp, {"residual"}):  # BLOOM and MPT add the residual inside the MLP
        inner = [m for m in _outer_linears(mlp) if (_linear_shape(m) or (0, 0))[1] == hidden_size]
        if not inner:
            return "an MLP that adds the residual itself and no projection before it"
        mlp = inner[-1]
    return attention, candidates[-1], mlp


def _takes(module: nn.Module, names: set[str]) -> bool:
    return not names.isdisjoint(inspect.signature(module.forward).parameters)


def _outer_linears(module: nn.Module) -> Iterator[nn.Module]:
    """Linear maps below a module in order of definition; not those inside another (LoRA)."""
    if _linear_shape(module):
        yield module
    else:
        for child in module.children():
            yield from _outer_linears(child)


def _linear_shape(module: nn.Module) -> tuple[int, int] | None:
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.nf)
    sizes = getattr(module, "in_features", None), getattr(module, "out_features", None)
    return sizes if isinstance(sizes[0], int) and isinstance(sizes[1], int) else None  # type: ignore[return-value]
