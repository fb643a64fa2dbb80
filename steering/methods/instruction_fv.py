"""An instruction's function vector: the heads that carry a task that is told, not shown.

    v = sum over the chosen heads (l, h) of W_o[l, h] m[l, h]

m[l, h] is a head's mean activation at the last token of bare questions under the instruction. The
chosen heads are those that, put into bare questions, most raise the probability of the right
answer. Otherwise everything is as in `fv`.

Source: Davidson et al., arXiv:2505.12075.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from steering.conventions import Conventions
from steering.errors import BadExamples
from steering.method import Examples, register
from steering.methods.function_vector import FunctionVector


@register
@dataclass(frozen=True, kw_only=True)
class InstructionFunctionVector(FunctionVector):
    """Settings beside those of `fv`, whose `shots` are of no account.

    Attributes:
        instruction: The task in words; None takes the examples' own.
    """

    name: ClassVar[str] = "instruction_fv"
    summary: ClassVar[str] = "function vector of an instruction (arXiv:2505.12075)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="head_output", read_tokens="last of instructed questions",
        acts_at="block_output: add", acts_on="continuation", scale="none", sign="none",
    )  # fmt: skip

    instruction: str | None = None

    def informative(self, examples: Examples) -> list[str]:
        """Bare questions under the instruction."""
        told = self.instruction or getattr(examples, "instruction", None)
        if not told:
            raise BadExamples(
                f"{examples.name}: no instruction; give the task metadata.instruction, or set "
                "instruction"
            )
        drawn = self._drawn(examples, "told", self.mean_prompts)
        return [f"{told}\n\n{examples.prompt((), x)}" for x, _ in drawn]

    def uninformative(self, examples: Examples) -> tuple[list[str], list[str]]:
        """Bare questions."""
        drawn = self._drawn(examples, "bare", self.effect_prompts)
        prompts = [examples.prompt((), x) for x, _ in drawn]
        return prompts, [examples.target(y) for _, y in drawn]

    def _drawn(self, examples: Examples, name: str, number: int) -> list[tuple[str, str]]:
        pairs = list(examples.pairs)
        return random.Random(f"{name} {self.seed}").sample(pairs, min(number, len(pairs)))
