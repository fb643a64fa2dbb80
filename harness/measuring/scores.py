"""What a task's documents are worth: a value per document, metric and filter.

A task with one filter has its metrics' own names; one with several has lm-eval's `metric,filter`.

Some metrics are no mean over documents (perplexity, F1, correlation). Such a metric's aggregate is
spread over its documents by the jackknife (Tukey 1958; Efron 1982, chapter 2): a document's value
says how far the aggregate moves without it, so that the values' mean is lm-eval's aggregate and
their spread its sampling error. Paired differences and intervals then hold for it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.metrics import mean

from harness.measuring.jackknife import spread

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

Raw = dict[str, Any]
"""What a task's `process_results` says of one document, by the names used here."""


def filters(task: ConfigurableTask) -> list[str]:
    """Names of a task's filters, in its order."""
    return [each.name for each in task._filters]


def named(task: ConfigurableTask, metric: str, filter_name: str) -> str:
    """The name of a metric under a filter."""
    return f"{metric},{filter_name}" if len(task._filters) > 1 else metric


def directions(task: ConfigurableTask) -> dict[str, bool]:
    """Whether a higher value is better, by metric and filter, the task's first ones first."""
    return {
        named(task, metric, each): bool(higher)
        for metric, higher in task.higher_is_better().items()
        for each in filters(task)
    }


def merged(
    task: ConfigurableTask, rows: Iterable[tuple[int, str, Mapping[str, Any]]]
) -> dict[int, Raw]:
    """Each document once.

    Args:
        task: The task.
        rows: Document, filter, and the metrics under it.
    """
    found: dict[int, Raw] = {}
    for document, filter_name, metrics in rows:
        own = found.setdefault(document, {})
        own.update((named(task, name, filter_name), value) for name, value in metrics.items())
    return found


def numbers(task: ConfigurableTask, documents: Sequence[Raw]) -> list[dict[str, float | None]]:
    """Every document's metrics as numbers; None where the task gives a document no value.

    Args:
        task: The task.
        documents: As `merged` returns them.
    """
    found: list[dict[str, float | None]] = [{} for _ in documents]
    for name in dict.fromkeys(name for each in documents for name in each):
        aggregate = task.aggregation().get(name.partition(",")[0], mean)
        places = [i for i, each in enumerate(documents) if each.get(name) is not None]
        values = spread([documents[i][name] for i in places], aggregate)
        for each in found:
            each[name] = None
        for i, value in zip(places, values, strict=True):
            found[i][name] = value
    return found
