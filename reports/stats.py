"""Paired statistics: every arm answers the same documents, so differences are taken per document.

A comparison over several tasks is the mean of the tasks' means; documents are resampled within
their task. Intervals therefore speak of these tasks, not of tasks in general.

Sources: BCa bootstrap, Efron 1987; mid-p McNemar, Fagerland, Lydersen and Laake 2013; Holm 1979;
steerability, Tan et al. 2024 (arXiv:2407.12404).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
DRAWS, BLOCK = 10_000, 64
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """How much better one arm is than another on the same documents, in the metric's own sign.

    Attributes:
        value: Mean difference; NaN where a document has no number, as all that follows but n.
        low: Lower end of the 95 % BCa interval.
        high: Upper end.
        p: Two-sided: mid-p McNemar for 0/1 metrics of one task, else sign flips.
        n: Documents.
        rose: Share of documents whose value rose.
        fell: Share of documents whose value fell.
        detectable: The smallest true difference that such a test finds in 80 % of cases.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    rose: float
    fell: float
    detectable: float


def compare(groups: Sequence[Array], *, binary: bool = False, seed: int = 0) -> Difference:
    """Sum up paired differences; tables and figures ask for the same ones.

    Args:
        groups: Per task, the differences of its documents (n).
        binary: Differences of 0/1 values, one per document: McNemar's test applies to one task.
        seed: Seed of the resampling.
    """
    content = tuple(np.asarray(group, np.float64).tobytes() for group in groups)
    return _compared(content, binary, seed)


@functools.lru_cache(maxsize=256)
def _compared(content: tuple[bytes, ...], binary: bool, seed: int) -> Difference:
    groups = [np.frombuffer(each) for each in content]
    rng = np.random.default_rng(seed)
    every = np.concatenate(groups)
    if np.isnan(every).any():  # a document without a number: no test, not one of the others
        nan = math.nan
        return Difference(nan, nan, nan, nan, len(every), nan, nan, nan)
    low, high = interval(groups, rng=rng)
    p = mcnemar(every) if binary and len(groups) == 1 else sign_flip(groups, rng=rng)
    return Difference(
        value=mean_of_means(groups),
        low=low,
        high=high,
        p=p,
        n=len(every),
        rose=float((every > 0).mean()),
        fell=float((every < 0).mean()),
        detectable=detectable(groups),
    )


def mean_of_means(groups: Sequence[Array]) -> float:
    """The mean over tasks of the mean over documents."""
    return float(np.mean([group.mean() for group in groups]))


def interval(
    groups: Sequence[Array], *, draws: int = DRAWS, rng: np.random.Generator
) -> tuple[float, float]:
    """BCa bootstrap interval of `mean_of_means`, documents resampled within their task.

    Where all documents of every task agree there is nothing to resample, and both ends are the
    estimate itself.
    """
    estimate = mean_of_means(groups)
    if math.isnan(estimate):
        return estimate, estimate
    influence = np.concatenate([(g - g.mean()) / (len(groups) * len(g)) for g in groups])
    if not np.any(influence):
        return estimate, estimate
    total = np.zeros(draws)
    for group in groups:
        for some in _blocks(draws):
            places = rng.integers(len(group), size=(some.stop - some.start, len(group)))
            total[some] += group[places].mean(axis=1)
    total /= len(groups)
    # ties count half: the bootstrap distribution of 0/1 differences is discrete
    below = np.mean(total < estimate - 1e-12) + 0.5 * np.mean(np.abs(total - estimate) <= 1e-12)
    bias = ndtri(np.clip(below, 1 / draws, 1 - 1 / draws))
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    z = bias + ndtri([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    shares = ndtr(bias + z / (1 - acceleration * z))
    low, high = np.quantile(total, shares)
    return float(low), float(high)


def _blocks(draws: int) -> Iterator[slice]:
    """Draws in blocks that stay in the processor's cache: a third of the time, the same numbers."""
    for start in range(0, draws, BLOCK):
        yield slice(start, min(start + BLOCK, draws))


def mcnemar(differences: Array) -> float:
    """Mid-p McNemar test of differences of 0/1 values: only the documents that changed count."""
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    if up + down == 0:
        return 1.0
    from scipy.stats import binom  # a second that only a table should pay

    flips = binom(up + down, 0.5)
    return float(min(1.0, 2 * flips.cdf(min(up, down)) - flips.pmf(min(up, down))))


def sign_flip(groups: Sequence[Array], *, draws: int = DRAWS, rng: np.random.Generator) -> float:
    """Permutation test of paired differences: under the null both signs are equally likely."""
    total = np.zeros(draws)
    for group in groups:
        moved = group[group != 0] / (len(groups) * len(group))
        for some in _blocks(draws):
            signs = rng.integers(2, size=(some.stop - some.start, len(moved))) * 2 - 1
            total[some] += signs @ moved
    reached = np.abs(total) >= abs(mean_of_means(groups)) - 1e-12
    return float((reached.sum() + 1) / (draws + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values over a family of tests, in the order given.

    A p-value that is no number is no test: it stays, and the family is the others.
    """
    order = [i for i in np.argsort(p_values, kind="stable") if not math.isnan(p_values[i])]
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * float(p_values[index])))
        adjusted[index] = largest
    return adjusted


def standard_error(groups: Sequence[Array]) -> float:
    """Standard error of `mean_of_means`; NaN where a task has one document."""
    if min(len(group) for group in groups) < 2:
        return math.nan
    return math.sqrt(sum(g.var(ddof=1) / len(g) for g in groups)) / len(groups)


def detectable(groups: Sequence[Array], power: float = 0.8) -> float:
    """The smallest true mean difference that a two-sided 5 % test finds with the given power."""
    quantiles = ndtri((1 + LEVEL) / 2) + ndtri(power)
    return float(quantiles) * standard_error(groups)


def steerability(coefficients: Sequence[float], scores: Sequence[float]) -> float:
    """Slope of the score over the coefficient, by least squares."""
    from scipy.stats import linregress

    return float(linregress(coefficients, scores).slope)


def variance_parts(values: Array) -> tuple[float, float]:
    """Split the variance of a mean into what seeds and what documents contribute.

    Args:
        values: One row per fit seed, one column per document (seeds, n), at least two of each.

    Returns:
        The variance between fits (of one fit's mean, free of document noise, not below 0), and the
        variance of the mean that comes from the documents.
    """
    seeds, n = values.shape
    documents = values.mean(axis=0).var(ddof=1) / n
    residual = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    noise = (residual**2).sum() / ((seeds - 1) * (n - 1))
    between = values.mean(axis=1).var(ddof=1) - noise / n
    return max(0.0, float(between)), float(documents)


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of the points that no other beats in one coordinate and equals in the rest."""
    return [
        name
        for name, (x, y) in points.items()
        if not any(
            a >= x and b >= y and (a, b) != (x, y)
            for other, (a, b) in points.items()
            if other != name
        )
    ]
