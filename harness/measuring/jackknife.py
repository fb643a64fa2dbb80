"""How far an aggregate moves without each document, in less than one aggregation per document.

Aggregates do not ask for the order of documents, so that documents of which a task says the same
move them equally far. What BLEU, chrF and TER make of a corpus they make of sums over its sentences
(sacrebleu's own significance tests recompute them so). Other aggregates of much text are computed
without a share of the documents at a time instead of without each (the delete-d jackknife; Shao and
Wu 1989).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import sacrebleu
from lm_eval.api import metrics

Aggregate = Callable[[Sequence[Any]], float]

SUMS: dict[Any, Callable[[], Any]] = {
    metrics.bleu: sacrebleu.BLEU,
    metrics.chrf: sacrebleu.CHRF,
    metrics.chrfpp: lambda: sacrebleu.CHRF(word_order=2),
    metrics.ter: sacrebleu.TER,
}
"""Metrics of a corpus by lm-eval's aggregates, set up as those do."""

MOST = 100
"""Aggregations of an aggregate that may take long."""


def spread(values: Sequence[Any], aggregate: Aggregate) -> list[float]:
    """Values whose mean is the aggregate, one per document.

    Args:
        values: What the task says of each document: numbers, or what the aggregate needs.
        aggregate: All documents' values -> the metric.
    """
    if aggregate is metrics.mean:
        return [float(value) for value in values]
    n = len(values)
    if n < 2:
        return [float(aggregate(values))] * n
    if aggregate in SUMS:
        return _pulled(float(aggregate(values)), _of_sums(values, SUMS[aggregate]()), n)
    alike = _alike(values)
    if len(alike) <= MOST or getattr(aggregate, "__module__", "") == metrics.__name__:
        without = [0.0] * n
        for places in alike:
            rest = [*values[: places[0]], *values[places[0] + 1 :]]
            without = _put(without, places, float(aggregate(rest)))
        return _pulled(float(aggregate(values)), without, n)
    return _by_shares(values, aggregate)


def _alike(values: Sequence[Any]) -> list[list[int]]:
    """Places of equal values."""
    found: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        try:
            key: Hashable = (type(value), value)
            found.setdefault(key, []).append(place)
        except TypeError:  # a list has no hash, and what it shows need not be all
            found[place] = [place]
    return list(found.values())


def _put(numbers: list[float], places: Sequence[int], value: float) -> list[float]:
    for place in places:
        numbers[place] = value
    return numbers


def _pulled(whole: float, without: Sequence[float], parts: int) -> list[float]:
    """Each part's pull on the aggregate, around the aggregate itself."""
    middle = sum(without) / len(without)
    return [whole + (parts - 1) * (middle - each) for each in without]


def _of_sums(values: Sequence[Any], metric: Any) -> list[float]:
    """A metric of a corpus without each of its sentences."""
    references, answers = metrics._sacreformat(*zip(*values, strict=True))
    own = np.array(metric._extract_corpus_statistics(answers, references))
    rest = own.sum(axis=0) - own
    return [float(metric._compute_score_from_stats(each.tolist()).score) for each in rest]


def _by_shares(values: Sequence[Any], aggregate: Aggregate) -> list[float]:
    """What the aggregate loses with every hundredth document, as values of these documents.

    They deviate from their mean so much further that the mean's error over all documents, counted
    as that of independent ones, is that over the shares.
    """
    n, whole = len(values), float(aggregate(values))
    without = [
        float(aggregate([v for i, v in enumerate(values) if i % MOST != share]))
        for share in range(MOST)
    ]
    pulls = _pulled(whole, without, MOST)
    wider = math.sqrt(n / MOST)
    found = [wider * (pulls[place % MOST] - whole) for place in range(n)]
    middle = sum(found) / n
    return [whole + each - middle for each in found]


def standard_error(aggregate: Aggregate, values: Sequence[Any], iters: int = 0) -> float:
    """The jackknife's standard error of an aggregate, in the place of lm-eval's bootstrap of it.

    Args:
        aggregate: All documents' values -> the metric.
        values: What the task says of each document.
        iters: Ignored: the resamples that a bootstrap would take.
    """
    return float(metrics.mean_stderr(spread(values, aggregate)))


@contextmanager
def errors() -> Iterator[None]:
    """Where lm-eval takes standard errors from the jackknife, which needs no resamples.

    Its bootstrap of BLEU, chrF and TER aggregates the corpus a hundred times each, in a pool of
    processes that fork the one with the model.
    """
    own = metrics.bootstrap_stderr
    metrics.bootstrap_stderr = standard_error
    try:
        yield
    finally:
        metrics.bootstrap_stderr = own
