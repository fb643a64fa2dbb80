"""Task vectors: the last token of a few-shot prompt, put in the place of a bare question's.

    theta_L = mean over dummy queries q of h_L(demonstrations, q),   h_L(question) <- theta_L

h_L is the output of block L at the last token. The replacement happens once, at the last token of
the prompt. Where no layer is set, it is the one under which most questions kept back get the right
first token.

Source: Hendel et al., arXiv:2310.15916. Its code draws demonstrations anew for every test item;
one set for a whole task is what later papers mean by the name (`task_vector`).
`task_vector_per_item` keeps a bank of sets, of which every prompt draws its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from steering.activations import at_end, token_states
from steering.conventions import Conventions
from steering.edit import Edit
from steering.errors import BadExamples
from steering.first_token import accuracy_by_layer
from steering.method import Examples, SteeringMethod, register
from steering.space import Choice, Integer, SearchSpace, Shape, at_depth
from steering.tokens import prompt_ids
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class TaskVector(SteeringMethod):
    """Settings.

    Attributes:
        shots: Demonstrations.
        queries: Dummy queries averaged over (the paper's text: 1, its code: 2).
        layer: 0-based block; None chooses it.
        development: Questions on which it is chosen.
        coefficient: Between 0 and 1 goes part of the way.
        positions: Where the activation is replaced.
    """

    name: ClassVar[str] = "task_vector"
    summary: ClassVar[str] = "task vector: one few-shot state for a task (arXiv:2310.15916)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_output", read_tokens="last of few-shot prompts",
        acts_at="block_output: replace", acts_on="last_prompt", scale="none", sign="none",
    )  # fmt: skip

    shots: int = 5
    queries: int = 2
    layer: int | None = None
    development: int = 50
    coefficient: float = 1.0
    positions: str = "last_prompt"

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The layer and the number of demonstrations."""
        default = at_depth(None, shape.n_layers, 0.4)
        return {
            "layer": Integer(0, shape.n_layers - 1, default),
            "shots": Choice((5, 3, 10)),
        }

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Read the few-shot state and choose where to put it; see the module's formula."""
        rng = random.Random(f"task vector {self.seed}")
        states = self.states(model, tokenizer, examples, rng)
        layer = self.chosen(model, tokenizer, examples, rng, [states])
        edit = Edit("block_output", layer, "replace", states[layer].clone(), self.positions)
        return self.vector([edit], model, examples, coefficient=self.coefficient)

    def chosen(
        self, model: Any, tokenizer: Any, examples: Examples, rng: random.Random,
        states: Sequence[Tensor],
    ) -> int:  # fmt: skip
        """The layer that is set, or the one at which most first tokens are right."""
        if self.layer is not None:
            return at_depth(self.layer, len(states[0]), 0, self.name)
        items = rng.sample(list(examples.pairs), min(self.development, len(examples.pairs)))
        given = [states[i % len(states)] for i in range(len(items))]
        return int(accuracy_by_layer(model, tokenizer, examples, items, given).argmax())

    def states(self, model: Any, tokenizer: Any, examples: Examples, rng: random.Random) -> Tensor:
        """The state of one set of demonstrations, averaged over dummy queries, (l, d)."""
        pairs = list(examples.pairs)
        if len(pairs) < max(self.shots, self.queries):
            raise BadExamples(
                f"{examples.name}: {len(pairs)} pairs, expected at least {self.shots}; give more "
                "pairs or lower shots"
            )
        shown = rng.sample(pairs, self.shots)
        texts = [examples.prompt(shown, x) for x, _ in rng.sample(pairs, self.queries)]
        ids = prompt_ids(tokenizer, texts)
        states = token_states(model, ids, at_end(ids))
        return states[:, 0].mean(dim=0)
