"""Further sites, which only some methods need and not every architecture has.

| site | what is edited |
|---|---|
| block_input | the residual stream before a block; before the first one it is the embedding |
| norm_1 ... norm_4 | the output of a block's first ... fourth norm, in the order of definition |
| final_norm | the output of the norm after the last block; its layer is the last one |
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

NORMS = ("norm_1", "norm_2", "norm_3", "norm_4")
INNER = ("block_input", *NORMS, "final_norm")


def norms(parent: nn.Module) -> list[nn.Module]:
    """The norms that are a module's own children, in the order of definition."""
    return [child for child in parent.children() if "norm" in type(child).__name__.lower()]


def norm_places(blocks: Sequence[nn.Module]) -> list[tuple[str, int]]:
    """Site and layer of every norm of every block."""
    return [
        (site, layer)
        for layer, block in enumerate(blocks)
        for site, _ in zip(NORMS, norms(block), strict=False)
    ]


def inner_modules(
    decoder: nn.Module, blocks: Sequence[nn.Module], site: str
) -> Sequence[nn.Module | None]:
    """The module of every layer at one of INNER; None where a layer has none."""
    if site == "block_input":
        return blocks
    if site == "final_norm":
        own = norms(decoder)
        return [*[None] * (len(blocks) - 1), own[-1] if own else None]
    number = NORMS.index(site)
    found = [norms(block) for block in blocks]
    return [own[number] if number < len(own) else None for own in found]
