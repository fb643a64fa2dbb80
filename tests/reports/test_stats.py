"""Statistics against independent implementations, full enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports.stats import (
    compare,
    detectable,
    holm,
    interval,
    mcnemar,
    pareto_front,
    sign_flip,
    steerability,
    variance_parts,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", ["skewed", "binary", "normal"])
def test_intervals_agree_with_scipy(kind: str) -> None:
    draw = rng(3)
    values = {
        "skewed": draw.exponential(size=80),
        "binary": (draw.random(120) < 0.3).astype(float),
        "normal": draw.normal(size=60),
    }[kind]
    expected = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=rng(1)
    ).confidence_interval
    found = interval([values], draws=20_000, rng=rng(2))
    width = expected.high - expected.low
    assert found == pytest.approx((expected.low, expected.high), abs=0.04 * width)


def test_documents_that_agree_leave_nothing_to_resample() -> None:
    assert interval([np.full(9, 0.5)], rng=rng()) == (0.5, 0.5)


def test_mcnemar_against_exact_fractions() -> None:
    for up, down in itertools.product(range(7), range(7)):
        differences = np.array([1.0] * up + [-1.0] * down + [0.0] * 5)
        n, k = up + down, min(up, down)
        half = Fraction(1, 2**n)
        tail = sum(comb(n, i) for i in range(k)) * half + Fraction(comb(n, k), 2) * half
        expected = 1.0 if n == 0 else min(1.0, float(2 * tail))
        assert mcnemar(differences) == pytest.approx(expected, abs=1e-12)


def test_sign_flips_against_full_enumeration() -> None:
    groups = [np.array([0.5, -0.2, 0.9, 0.4]), np.array([0.1, 0.3, 0.8])]
    observed = np.mean([group.mean() for group in groups])
    reached = total = 0
    for signs in itertools.product((1, -1), repeat=7):
        flipped = np.mean([(groups[0] * signs[:4]).mean(), (groups[1] * signs[4:]).mean()])
        total += 1
        reached += abs(flipped) >= abs(observed) - 1e-12
    found = sign_flip(groups, draws=200_000, rng=rng())
    assert found == pytest.approx(reached / total, abs=0.003)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_detectable_effect_is_found_in_80_percent_of_cases() -> None:
    draw, n, found = rng(5), 50, 0
    size = detectable([draw.normal(size=100_000)]) * (100_000 / n) ** 0.5
    for _ in range(2000):
        found += scipy_stats.ttest_1samp(draw.normal(size, 1, size=n), 0).pvalue < 0.05
    assert found / 2000 == pytest.approx(0.8, abs=0.03)


def test_variance_parts_by_simulation() -> None:
    draw, fits, documents = rng(7), [], []
    for _ in range(400):
        seeds = draw.normal(0, 0.3, size=(5, 1))
        values = draw.normal(0, 0.5, size=(1, 60)) + seeds + draw.normal(0, 0.2, size=(5, 60))
        between, within = variance_parts(values)
        fits.append(between)
        documents.append(within)
    assert np.mean(fits) == pytest.approx(0.09, rel=0.1)
    assert np.mean(documents) == pytest.approx((0.25 + 0.04 / 5) / 60, rel=0.05)


def test_steerability_is_the_slope() -> None:
    assert steerability([0, 1, 2, 3], [1.0, 1.5, 2.0, 2.5]) == pytest.approx(0.5)


def test_pareto_front_by_brute_force() -> None:
    draw = rng(11)
    points = {str(i): (float(x), float(y)) for i, (x, y) in enumerate(draw.integers(0, 6, (30, 2)))}
    expected = {
        name
        for name, (x, y) in points.items()
        if all((a <= x and b <= y) or a < x or b < y for a, b in points.values())
    }
    assert set(pareto_front(points)) == expected


def test_compare_counts_helped_and_hurt() -> None:
    found = compare([np.array([1.0, 1.0, 0.0, -1.0])], binary=True)
    assert (found.value, found.rose, found.fell, found.n) == (0.25, 0.5, 0.25, 4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "skewed"])
def test_95_percent_intervals_cover_93_to_97_percent(kind: str) -> None:
    """1,000 data sets of three tasks; the truth is known."""
    draw, inside = rng(17), 0
    rates = (0.15, 0.5, 0.3)
    for _ in range(1000):
        if kind == "binary":  # paired differences of 0/1 values: -1, 0 or 1
            groups = [(draw.random(60) < p).astype(float) - (draw.random(60) < 0.1) for p in rates]
            truth = np.mean(rates) - 0.1
        else:
            groups = [draw.beta(0.6, 1.2, size=60) for _ in rates]
            truth = 1 / 3
        low, high = interval(groups, draws=2000, rng=draw)
        inside += low <= truth <= high
    assert 930 <= inside <= 970


def _null_difference(draw: np.random.Generator) -> np.ndarray:
    return (draw.random(120) < 0.4).astype(float) - (draw.random(120) < 0.4)


@pytest.mark.slow
def test_under_the_null_3_to_6_percent_are_significant_and_holm_keeps_the_family() -> None:
    """2,000 comparisons of one task, and 2,000 families of five."""
    draw, p_values = rng(23), []
    for _ in range(2000):
        p_values.append(mcnemar(_null_difference(draw)))
    assert 0.03 <= np.mean(np.array(p_values) < 0.05) <= 0.06
    smallest = [min(holm([mcnemar(_null_difference(draw)) for _ in range(5)])) for _ in range(2000)]
    assert np.mean(np.array(smallest) < 0.05) <= 0.06
    flips = [
        sign_flip([draw.normal(size=40), draw.normal(size=30)], draws=999, rng=draw)
        for _ in range(2000)
    ]
    assert 0.03 <= np.mean(np.array(flips) < 0.05) <= 0.06


def test_a_document_without_a_number_is_no_test_and_spoils_no_other() -> None:
    broken = compare([np.array([0.5, math.nan, 0.25]), np.array([1.0, 0.5])], binary=True)
    assert broken.n == 5
    numbers = (broken.value, broken.low, broken.high, broken.p, broken.rose, broken.detectable)
    assert all(map(math.isnan, numbers))
    assert math.isnan(compare([np.array([1.0, math.nan])], binary=True).p)
    adjusted = holm([0.04, math.nan, 0.01])
    assert [adjusted[0], adjusted[2]] == holm([0.04, 0.01])
    assert math.isnan(adjusted[1])


@pytest.mark.parametrize("draws", [1, 64, 1000])
def test_draws_in_blocks_are_those_of_one_draw(draws: int) -> None:
    groups = [rng(i).normal(0.1, 1, size=30 + i) for i in range(2)]
    once = rng(1)
    moved = [(once.integers(2, size=(draws, len(g))) * 2 - 1) @ (g / (2 * len(g))) for g in groups]
    reached = np.abs(np.sum(moved, axis=0)) >= abs(np.mean([g.mean() for g in groups]))
    found = sign_flip(groups, draws=draws, rng=rng(1))
    assert found == pytest.approx((reached.sum() + 1) / (draws + 1))


def test_equal_differences_are_resampled_once() -> None:
    groups = [rng(3).normal(size=50)]
    assert compare(groups) is compare([groups[0].copy()])
    assert compare(groups, seed=1) is not compare(groups)
    assert compare([-groups[0]]).value == -compare(groups).value
