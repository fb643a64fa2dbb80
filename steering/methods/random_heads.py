"""A control: a function vector of heads drawn at random among those that were not chosen."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any, ClassVar

from steering.method import Examples, register
from steering.methods.function_vector import FunctionVector
from steering.sites import resolve
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class RandomHeads(FunctionVector):
    """The settings of `fv`."""

    name: ClassVar[str] = "random_heads"
    summary: ClassVar[str] = "control: a function vector of as many random heads"
    control: ClassVar[bool] = True

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Fit fv, then sum as many other heads instead (some of its own where too few are left)."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(FunctionVector)}
        causal = FunctionVector(**own).fit(model, tokenizer, examples)
        chosen = {tuple(head) for head in causal.provenance["heads"]}
        layout = resolve(model)
        every = layout.heads
        rng = random.Random(f"heads {self.seed}")
        drawn = sorted(rng.sample(every, len(every)), key=lambda head: head in chosen)
        drawn = drawn[: len(chosen)]
        control = FunctionVector(**{**own, "heads": tuple(drawn)}).fit(model, tokenizer, examples)
        return control.with_provenance(
            method=self.name, method_version=self.version, settings=self.settings()
        )
