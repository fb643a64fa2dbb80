"""Task vectors by item: every prompt takes the state of one of many sets of demonstrations.

    h_L(question) <- theta_L of set number c(question)

theta_L is that of `task_vector`. The published code draws demonstrations anew for every test item;
here they are drawn beforehand, and c is drawn by the signs of random projections of the question's
own state, so that a prompt takes the same set in whatever batch it stands.

Source: Hendel et al., arXiv:2310.15916, and its code.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from steering.activations import at_end, token_states
from steering.conventions import Conventions
from steering.edit import Edit
from steering.method import Examples, register
from steering.methods.task_vector import TaskVector
from steering.tokens import prompt_ids
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class TaskVectorPerItem(TaskVector):
    """Settings beside those of `task_vector`.

    Attributes:
        doublings: The bank holds 2 to this power of sets of demonstrations.
    """

    name: ClassVar[str] = "task_vector_per_item"
    summary: ClassVar[str] = "task vector: every prompt draws demonstrations (arXiv:2310.15916)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last of few-shot prompts",
        acts_at="block_output: replace_by_code", acts_on="last_prompt", scale="none", sign="none",
    )  # fmt: skip

    doublings: int = 4

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Read the states of many sets; which one a prompt draws is decided by its own state."""
        rng = random.Random(f"task vector {self.seed}")
        sets = range(2**self.doublings)
        bank = torch.stack([self.states(model, tokenizer, examples, rng) for _ in sets])
        layer = self.chosen(model, tokenizer, examples, rng, bank.unbind())
        bare = prompt_ids(tokenizer, [examples.prompt((), x) for x, _ in examples.pairs[:100]])
        seen = token_states(model, bare, at_end(bare))[:, 0, layer]
        noise = torch.Generator().manual_seed(self.seed)
        keys = torch.randn(self.doublings, seen.shape[-1], generator=noise)
        parameters = {"keys": keys, "borders": (seen @ keys.T).median(dim=0).values}
        edit = Edit(
            "block_output", layer, "replace_by_code", bank[:, layer].clone(), self.positions,
            parameters=parameters,
        )  # fmt: skip
        return self.vector([edit], model, examples, coefficient=self.coefficient)
