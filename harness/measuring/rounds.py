"""What an arm costs beside its baseline: the same documents, answered in turn by both.

Arms that are timed one after the other carry whatever else the machine was doing meanwhile. Here
each round asks a few documents under the arm and at once under the baseline, so that what slows
one slows the other; the reports take the median over the pairs, and its interval.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.measuring.passes import prepare, shared

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask

    from harness.lm.adapter import SteeredLM
    from harness.lm.wording import Wording
    from steering import SteeringVector

ROUNDS = 6
"""The least and the largest of six pairs hold their median between them in 97 of 100 cases."""

DOCUMENTS = 24
"""Of one round, shared out among the tasks of a pass."""


@dataclass(frozen=True)
class Rounds:
    """Seconds of each round on the same documents.

    Attributes:
        documents: Of one round.
        own_s: Under the arm, one value per round.
        plain_s: Under the baseline; None for the baseline itself.
    """

    documents: int
    own_s: list[float]
    plain_s: list[float] | None

    @property
    def ms_per_doc(self) -> float:
        """Median over rounds, in milliseconds."""
        return 1000 * statistics.median(self.own_s) / self.documents

    def as_json(self) -> dict[str, Any]:
        """Plain data for the record."""
        return asdict(self)


def in_rounds(
    lm: SteeredLM,
    tasks: Mapping[str, ConfigurableTask],
    plain: Mapping[str, ConfigurableTask] | None,
    vectors: Mapping[str, SteeringVector],
    *,
    limit: int | None,
    wordings: Mapping[str, Wording],
) -> dict[str, Rounds]:
    """Time an arm and its baseline in turn.

    Args:
        lm: The model.
        tasks: As the arm asks them, by name.
        plain: The same ones as the baseline asks them; None where the arm is the baseline.
        vectors: Of the arm, by task.
        limit: Ask only the first documents of each.
        wordings: How each task's prompts are put to the model.

    Returns:
        By task: the rounds of the pass that it shared.
    """
    found = {}
    for names in shared(tasks):
        each = max(1, DOCUMENTS // len(names))
        for asked in filter(None, (tasks, plain)):
            for name in names:
                prepare(lm, asked[name], limit=limit, wording=wordings[name])
        own = [request for name in names for request in _first(tasks[name], each)]
        bare = [plain[name] for name in names] if plain else []
        theirs = [request for task in bare for request in _first(task, each)]
        steering = {name: vectors[name] for name in names if name in vectors}
        own_s, plain_s = [], []
        with lm.steer_for(names, steering):
            for number in range(ROUNDS + 1):
                spent = _answered(lm, own)
                if number:  # the first one warms up and proves that steering acts
                    own_s.append(spent)
                if plain and number:
                    with lm.steer(None):
                        plain_s.append(_answered(lm, theirs))
        documents = len({(request.task_name, request.doc_id) for request in own})
        rounds = Rounds(documents, own_s, plain_s if plain else None)
        found.update(dict.fromkeys(names, rounds))
    return found


def _first(task: ConfigurableTask, documents: int) -> list[Instance]:
    """The requests of a task's first documents."""
    chosen = sorted({instance.doc_id for instance in task.instances})[:documents]
    return [instance for instance in task.instances if instance.doc_id in chosen]


def _answered(lm: SteeredLM, requests: Sequence[Instance]) -> float:
    """Seconds that the answers to some requests of one kind take."""
    started = time.perf_counter()
    getattr(lm, requests[0].request_type)(list(requests), disable_tqdm=True)
    return time.perf_counter() - started
