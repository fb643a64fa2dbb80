"""How well a judge knows a style: on pairs that it has not seen, and on anybody's texts."""

from collections.abc import Callable, Sequence

from ..texts import Labelled, Pair


def report(
    judge: Callable[[Sequence[str]], list[float]], texts: Sequence[Labelled]
) -> dict[str, float]:
    """Measure a judge on texts that it has not seen.

    Args:
        judge: Texts -> probabilities of the wanted style.
        texts: Each with 1 for the wanted style, 0 for the other; both occur.

    Returns:
        `n` texts; `accuracy`; `mean_probability` of the right style; `brier`, the mean squared
        error of the probability; `calibration_error`, the mean difference of probability and
        frequency over ten bins; `mean_reference` and `mean_input`, the mean probability of the
        wanted style for texts that have it and for those that have not: what a perfect rewrite
        and a copy score as `attribute`.
    """
    n = len(texts)
    found = judge([text for text, _ in texts])
    right = [p if wanted else 1 - p for p, (_, wanted) in zip(found, texts, strict=True)]
    bins: dict[int, list[float]] = {}  # probability minus outcome, by tenth
    sides: tuple[list[float], list[float]] = ([], [])
    for p, (_, wanted) in zip(found, texts, strict=True):
        bins.setdefault(min(9, int(10 * p)), []).append(p - wanted)
        sides[wanted].append(p)
    return {
        "n": n,
        "accuracy": sum(p > 0.5 for p in right) / n,
        "mean_probability": sum(right) / n,
        "brier": sum((1 - p) ** 2 for p in right) / n,
        "calibration_error": sum(abs(sum(gaps)) for gaps in bins.values()) / n,
        "mean_reference": sum(sides[1]) / len(sides[1]),
        "mean_input": sum(sides[0]) / len(sides[0]),
    }


def flat(pairs: Sequence[Pair]) -> list[Labelled]:
    """Return the texts of pairs, the unwanted one of each first."""
    return [(text, side) for pair in pairs for side, text in enumerate(pair)]
