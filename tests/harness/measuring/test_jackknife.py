"""Aggregates that are no means, spread over documents: exactly, and in bounded time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from lm_eval.api import metrics

from harness.measuring import jackknife
from harness.measuring.jackknife import MOST, spread


def naive(values: Sequence[Any], aggregate: Any) -> list[float]:
    """The definition, document by document."""
    n, whole = len(values), float(aggregate(values))
    without = [float(aggregate([*values[:i], *values[i + 1 :]])) for i in range(n)]
    return [whole + (n - 1) * (sum(without) / n - each) for each in without]


def texts(n: int) -> list[tuple[str, str]]:
    rng = random.Random(0)
    words = [f"w{i}" for i in range(30)]
    said = [[rng.choice(words) for _ in range(rng.randrange(1, 12))] for _ in range(n)]
    heard = [[w if rng.random() < 0.7 else rng.choice(words) for w in each] for each in said]
    return [(" ".join(one), " ".join(other)) for one, other in zip(said, heard, strict=True)]


def several(values: Sequence[tuple[str, str]]) -> list[tuple[list[str], str]]:
    return [([one, one[::-1]], other) for one, other in values]


def of_users(values: Sequence[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_it_gives_the_aggregate_and_its_error() -> None:
    values = np.random.default_rng(0).normal(3, 1, size=40)

    def root_mean_square(items: Any) -> float:
        return float(np.sqrt(np.mean(np.square(items))))

    found = spread(list(values), root_mean_square)
    whole = root_mean_square(values)
    assert np.mean(found) == pytest.approx(whole)
    by_hand = np.std(values**2, ddof=1) / (2 * whole) / np.sqrt(40)  # the delta method
    assert np.std(found, ddof=1) / np.sqrt(40) == pytest.approx(by_hand, rel=0.05)
    assert spread([2.0], root_mean_square) == [2.0]


@pytest.mark.parametrize("aggregate", jackknife.SUMS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("n", [2, 3, 25])
def test_metrics_of_a_corpus_are_exact(aggregate: Any, n: int) -> None:
    for values in (texts(n), several(texts(n))):
        assert spread(values, aggregate) == pytest.approx(naive(values, aggregate), abs=1e-8)


@pytest.mark.parametrize("name", ["f1_score", "matthews_corrcoef", "perplexity", "median"])
def test_other_aggregates_of_lm_eval_are_exact(name: str) -> None:
    rng = random.Random(1)
    labels = [(rng.randrange(2), rng.randrange(2)) for _ in range(MOST + 20)]
    numbers = [rng.gauss(-4, 1) for _ in labels]
    values: Sequence[Any] = labels if name in ("f1_score", "matthews_corrcoef") else numbers
    aggregate = getattr(metrics, name)
    assert spread(values, aggregate) == pytest.approx(naive(values, aggregate))


def test_documents_alike_are_left_out_once() -> None:
    asked = []

    def share(values: Sequence[Any]) -> float:
        asked.append(len(values))
        return sum(one == other for one, other in values) / len(values) ** 1.5

    values = [("a", "a"), ("a", "b"), (1, 1), (2, 1)] * 100
    found = spread(values, share)
    assert len(asked) == 5
    assert found == pytest.approx(naive(values, share))
    unhashable = [[each] for each in range(12)]
    assert spread(unhashable, of_users) == pytest.approx(naive(unhashable, of_users))


@pytest.mark.parametrize("n", [MOST + 1, 950, 1000])
def test_aggregates_of_users_are_asked_a_bounded_number_of_times(n: int) -> None:
    values, asked = list(np.random.default_rng(0).normal(3, 1, size=n)), []

    def counted(given: Sequence[Any]) -> float:
        asked.append(len(given))
        return of_users(given)

    found = spread(values, counted)
    assert len(asked) == MOST + 1
    assert np.mean(found) == pytest.approx(of_users(values))
    error, exact = np.std(found), np.std(naive(values, of_users))
    assert error == pytest.approx(exact, rel=0.2)


def test_lm_evals_errors_are_the_jackknifes() -> None:
    values = texts(20)
    own = metrics.bootstrap_stderr
    with jackknife.errors():
        found = metrics.stderr_for_metric(metrics.bleu, 100)(values)
    assert found == pytest.approx(np.std(naive(values, metrics.bleu), ddof=1) / np.sqrt(20))
    assert metrics.bootstrap_stderr is own
