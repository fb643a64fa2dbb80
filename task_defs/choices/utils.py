"""Questions with a wanted and an unwanted answer: how much of the probability the wanted one has.

Each answer is scored whole, as it stands after the prompt. `matching` is the wanted answer's share
of the probability of all answers, the measure of contrastive activation addition (arXiv:2312.06681,
section 4); `acc` is 1 where the wanted answer is the most probable.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its answers' (log-probability, is greedy)."""
    scores = [float(score) for score, _ in results]
    largest, wanted = max(scores), scores[doc["label"]]
    if not math.isfinite(largest):
        return {"matching": math.nan, "acc": 0.0}
    shares = [math.exp(score - largest) for score in scores]
    return {
        "matching": shares[doc["label"]] / math.fsum(shares),
        "acc": float(wanted == largest and scores.count(largest) == 1),
    }


def load(**settings: Any) -> Any:
    """Return a user's file as split documents; see `task_defs.pairs.load`."""
    from task_defs.pairs import load

    return load(**settings)
