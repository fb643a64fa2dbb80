"""Activation addition: the difference of two short prompts, token by token.

    A[t] = x_L(plus)[t] - x_L(minus)[t]      for t < n, the shorter prompt padded on the right

x_L is the input of block L. A[t] is added to the t-th token of the prompt (`align` puts the n
tokens at its beginning, middle or end), not to what is generated.

Source: Turner et al., arXiv:2308.10248. The padding is a space token in the paper; the code's
default is the tokenizer's pad token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from steering.activations import token_states
from steering.contrast import ContrastiveMethod, contrastive_space, paired
from steering.conventions import Conventions
from steering.edit import Edit
from steering.method import Examples, register
from steering.sites import resolve
from steering.space import Real, SearchSpace, Shape, at_depth
from steering.tokens import prompt_ids
from steering.vector import SteeringVector


@register
@dataclass(frozen=True, kw_only=True)
class ActAdd(ContrastiveMethod):
    """Settings.

    Attributes:
        plus: The prompt that is steered towards; None takes the first drawn contrast.
        minus: The prompt that is steered away from.
        layer: 0-based block whose input is edited; None takes 6 of 48.
        pad: The token that fills the shorter prompt.
        align: Where the tokens of the difference lie in a prompt.
        bos: Put BOS before both prompts where the tokenizer does not.
        coefficient: Strength.
    """

    name: ClassVar[str] = "actadd"
    summary: ClassVar[str] = "activation addition: two prompts, token by token (arXiv:2308.10248)"
    conventions: ClassVar[Conventions] = Conventions(
        read_at="block_input", read_tokens="every token of two prompts",
        acts_at="block_input: add", acts_on="first n tokens of the prompt", scale="none",
        sign="desired minus undesired",
    )  # fmt: skip

    plus: str | None = None
    minus: str | None = None
    layer: int | None = None
    pad: Literal["space", "pad_token"] = "space"
    align: Literal["front", "middle", "back"] = "front"
    bos: bool = False
    coefficient: float = 5.0

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """The strength, the layer and the contrast."""
        return {"coefficient": Real(0.3, 30.0, 5.0), **contrastive_space(shape, 6 / 48)}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Subtract the prompts' activations; see the module's formula."""
        plus, minus = self.plus, self.minus
        if plus is None or minus is None:
            (first, *_), (second, *_) = paired(self.sides(examples))
            plus, minus = plus or first.whole, minus or second.whole
        ids = prompt_ids(tokenizer, [plus, minus], bos=self.bos)
        filler = tokenizer.pad_token_id if self.pad == "pad_token" else None
        if filler is None:
            filler = tokenizer.encode(" ", add_special_tokens=False)[-1]
        n = max(map(len, ids))
        filled = [[*own, *[filler] * (n - len(own))] for own in ids]
        tokens = [(t, t + 1) for t in range(n)]
        states = token_states(model, filled, [tokens, tokens], site="block_input")  # (2, n, l, d)
        layer = at_depth(self.layer, resolve(model).n_layers, 6 / 48, self.name)
        difference = (states[0] - states[1])[:, layer]
        place = {"front": "prompt[{0}]", "middle": "middle[{1}]", "back": "prompt[{2}]"}[self.align]
        edits = [
            Edit("block_input", layer, "add", tensor.clone(), place.format(t, t - n // 2, t - n))
            for t, tensor in enumerate(difference)
        ]
        return self.vector(edits, model, examples, coefficient=self.coefficient)
