"""How likely answers are under a vector that is being trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steering.activations import rows
from steering.tokens import Ids
from steering.vector import SteeringVector


def answer_loss(model: Any, pairs: Sequence[tuple[Ids, Ids]], vector: SteeringVector) -> Tensor:
    """Mean over answers of the mean negative log-likelihood of their tokens, with its gradient.

    Args:
        model: A Hugging Face decoder.
        pairs: Token ids of prompts and of their answers.
        vector: Steers the pass; gradients reach its tensors.
    """
    read = [[*asked, *answer[:-1]] for asked, answer in pairs]
    inputs, totals = rows(read, model)
    ends = torch.tensor([len(asked) for asked, _ in pairs], device=totals.device)
    with vector.attached(model) as attachment, attachment.lengths(ends, totals):
        logits = model(**inputs, use_cache=False).logits
    losses = [
        F.cross_entropy(
            own[len(asked) - 1 : len(asked) - 1 + len(answer)].float(),
            torch.tensor(answer, device=own.device),
        )
        for own, (asked, answer) in zip(logits, pairs, strict=True)
    ]
    return torch.stack(losses).mean()
