"""A resolved decoder: its sites, the modules they stand for, and what its heads write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steering.errors import BadVector
from steering.inner import INNER, inner_modules
from steering.space import Shape

SITES = ("block_output", "attn_output", "mlp_output", "head_output")
EVERY_SITE = (*SITES, *INNER)
"""`steering.inner` names those that not every architecture has."""


@dataclass(frozen=True)
class Layout:
    """A resolved decoder.

    Attributes:
        decoder: The module that owns the blocks.
        blocks: One module per layer (l).
        projections: The attention's output projection of each layer; None where it has no heads.
        mlps: The module of each layer whose output is the MLP's contribution to the residual; None
            where there is no such module.
        residuals: What the output of each block is the sum of, in words.
        norms: What the attention's output of each layer passes through before it is added.
        n_layers: Number of layers.
        n_heads: Number of query heads of a layer that has any (h).
        head_dims: Width of a head of each layer, read from the output projection; 0 where there
            are none.
        hidden_size: Width of the residual stream (d).
        windows: Tokens that each layer's attention sees; None sees all before.
    """

    decoder: nn.Module
    blocks: tuple[nn.Module, ...]
    projections: tuple[nn.Module | None, ...]
    mlps: tuple[nn.Module | None, ...]
    residuals: tuple[str, ...]
    norms: tuple[tuple[nn.Module, ...], ...]
    n_layers: int
    n_heads: int
    head_dims: tuple[int, ...]
    hidden_size: int
    windows: tuple[int | None, ...]

    @property
    def shape(self) -> Shape:
        """What search spaces are made for."""
        return Shape(self.n_layers, self.n_heads, self.hidden_size)

    @property
    def head_dim(self) -> int:
        """Width of the widest head (d_h); tables of heads are zero beyond a narrower one."""
        return max(self.head_dims)

    @property
    def heads(self) -> list[tuple[int, int]]:
        """Every head there is, as (layer, head)."""
        return [(la, h) for la in self.layers("head_output") for h in range(self.n_heads)]

    def layers(self, site: str) -> tuple[int, ...]:
        """The layers that have a site."""
        return tuple(i for i, module in enumerate(self._modules(site)) if module is not None)

    def width(self, site: str, layer: int) -> int:
        """Width of the activations at a site of a layer."""
        return self.n_heads * self.head_dims[layer] if site == "head_output" else self.hidden_size

    def module(self, site: str, layer: int) -> nn.Module:
        """The module whose output (head_output: whose input) is the site.

        Raises:
            BadVector: the layer has no such site; the message says which ones have.
        """
        module = self._modules(site)[layer]
        if module is None:
            layers = ", ".join(map(str, self.layers(site))) or "none"
            raise BadVector(
                f"layer {layer} has no {site} (its block is {self.residuals[layer]}); layers that "
                f"have one: {layers}"
            )
        return module

    def _modules(self, site: str) -> Sequence[nn.Module | None]:
        if site in INNER:
            return inner_modules(self.decoder, self.blocks, site)
        return {
            "block_output": self.blocks,
            "attn_output": self.projections,
            "mlp_output": self.mlps,
            "head_output": self.projections,
        }[site]

    def split_heads(self, x: Tensor, layer: int) -> Tensor:
        """The input of a layer's output projection by head: (..., h * d_h) -> (..., h, d_h)."""
        return x.reshape(*x.shape[:-1], self.n_heads, self.head_dims[layer])

    def with_heads(
        self, x: Tensor, layer: int, rows: Tensor, tokens: Tensor, heads: Tensor, values: Tensor
    ) -> Tensor:
        """A copy of an output projection's input (b, s, h * d_h) with k slices replaced.

        Args:
            x: The input.
            layer: The projection's layer.
            rows: Row of each slice (k).
            tokens: Its token (k).
            heads: Its head (k).
            values: What is put there (k, d_h), zero beyond the layer's own width.
        """
        split = self.split_heads(x, layer).clone()
        place = rows.to(x.device), tokens.to(x.device), heads.to(x.device)
        split[place] = values[:, : self.head_dims[layer]].to(x)
        return split.flatten(-2)

    def project(self, layer: int, head: int, activation: Tensor, *, bias: bool = False) -> Tensor:
        """What one head writes to the residual stream: (d_h) -> (d), in float32.

        Args:
            layer: 0-based layer.
            head: 0-based query head.
            activation: The head's slice of the projection's input (d_h).
            bias: Add the projection's bias (the function-vector reference adds it per head).
        """
        alone = torch.zeros(1, self.n_heads, self.head_dims[layer])
        alone[0, head] = activation[: self.head_dims[layer]]
        return written(self.module("attn_output", layer), alone.flatten(1), bias=bias)[0]


@torch.no_grad()
def written(projection: Any, x: Tensor, *, bias: bool = False) -> Tensor:
    """What an output projection writes for rows of its input: (r, h * d_h) -> (r, d), in float32.

    Args:
        projection: The module.
        x: Its input.
        bias: Add its bias.
    """
    weight: Tensor = projection.weight
    plain = "forward" not in vars(projection) and not weight.is_meta
    if plain and (isinstance(projection, Conv1D) or type(projection) is nn.Linear):
        x = x.to(weight.device).float()
        matrix = weight.float() if isinstance(projection, Conv1D) else weight.float().T
        out = x @ matrix
        own = getattr(projection, "bias", None)
        return out + own.float() if bias and own is not None else out
    # quantised, adapted or offloaded weights: the module itself, its constant part taken away
    dtype = weight.dtype if weight.is_floating_point() else torch.float16
    hook = getattr(projection, "_hf_hook", None)  # which brings offloaded weights
    device = getattr(hook, "execution_device", "cpu") if weight.is_meta else weight.device
    rows = F.pad(x, (0, 0, 0, 1)).to(device, dtype)
    result: Tensor = projection(rows[None])[0].float()
    return result[:-1] if bias else result[:-1] - result[-1]
