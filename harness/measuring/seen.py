"""What a vector knows already: the documents that it was fitted or tuned on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.measuring.examples import shown

if TYPE_CHECKING:
    from harness.measuring.sources import Sources


def seen(found: Sources, task: str) -> frozenset[str]:
    """What a task's vectors are fitted and tuned on, as documents are shown.

    Args:
        found: Where tasks come from.
        task: The task that the vectors are made for.
    """
    fitted, own = found.fitted_on(task), found.template(task)
    tuning = [shown(own, document) for document in found.parts(task).tuning]
    if found.of_pairs(fitted):
        return frozenset([*tuning, *(x for x, _ in found.examples(fitted).pairs)])
    other = found.template(fitted)
    return frozenset([*tuning, *(shown(other, each) for each in found.parts(fitted).fit)])
