"""A distributed function vector: every causal head's part at its own layer.

    at the attention output of layer l:  sum over the chosen heads (l, h) of W_o[l, h] m[l, h]

Heads and means are those of `fv`; there the whole sum goes into the output of one block.

Source: Todd et al., ICLR 2024, arXiv:2310.15213, for heads and means.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from steering.activations import mean_head_activations
from steering.conventions import Conventions
from steering.edit import Edit
from steering.method import Examples, register
from steering.methods.function_vector import FunctionVector
from steering.sites import resolve
from steering.space import Real, SearchSpace, Shape
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class DistributedFunctionVector(FunctionVector):
    """The settings of `fv`; its `layer` is of no account."""

    name: ClassVar[str] = "fv_distributed"
    summary: ClassVar[str] = "function vector: every head's part at its own layer"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="head_output", read_tokens="last of few-shot prompts", acts_at="attn_output: add",
        acts_on="continuation", scale="none", sign="none",
    )  # fmt: skip

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The heads of `fv`, and a raw strength: no one layer's norm is that of all parts."""
        heads = super().search_space(shape)["top_heads"]
        return {"top_heads": heads, "coefficient": Real(0.5, 64.0, 1.0)}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Choose heads as `fv` does and leave each where it is; see the module's formula."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(FunctionVector)}
        whole = FunctionVector(**{**own, "layer": None}).fit(model, tokenizer, examples)
        layout = resolve(model)
        means = mean_head_activations(model, tokenizer, self.informative(examples), bos=self.bos)
        parts: dict[int, list[torch.Tensor]] = {}
        for layer, head in whole.provenance["heads"]:
            part = layout.project(layer, head, means[layer, head], bias=self.projection_bias)
            parts.setdefault(layer, []).append(part.cpu())
        edits = [
            Edit("attn_output", layer, "add", torch.stack(own).sum(dim=0), self.positions)
            for layer, own in sorted(parts.items())
        ]
        return self.vector(
            edits, model, examples, coefficient=self.coefficient, heads=whole.provenance["heads"]
        )
