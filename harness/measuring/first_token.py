"""How the first token of the right answer ranks: accuracy as the function vector papers count it.

A document's prompt is answered rightly at k where fewer than k tokens are likelier than the
answer's first one (arXiv:2310.15213, section 3). It over-credits answers of several tokens, so
that these metrics stand beside the exact match and never in its place.

Source: Todd et al., Function Vectors in Large Language Models, ICLR 2024, arXiv:2310.15213.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.lm.encoding import IMPOSSIBLE
from harness.lm.scoring import Scored

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

TOP = {"first_token_acc": 1, "first_token_top_2": 2, "first_token_top_3": 3}
"""Metrics by name: among how many of the likeliest tokens the answer's first one must be."""


def one_answer(task: ConfigurableTask) -> bool:
    """Whether a task's documents are one given answer each, which is scored."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return bool(task.OUTPUT_TYPE == "loglikelihood")
    return len(task.doc_to_choice(task.eval_docs[0])) == 1


def first_token(answer: Any) -> dict[str, float]:
    """A document's metrics from its one scored answer.

    Args:
        answer: As `SteeredLM.loglikelihood` gives it.

    Raises:
        UsageError: an answer that does not know its rank, such as one from lm-eval's cache.
    """
    if isinstance(answer, Scored):
        rank: float = answer.rank
    elif answer == IMPOSSIBLE:
        rank = math.inf
    else:
        raise UsageError(
            f"{', '.join(TOP)} need answers that this run scored; leave the cache of requests out"
        )
    return {name: float(rank < k) for name, k in TOP.items()}
