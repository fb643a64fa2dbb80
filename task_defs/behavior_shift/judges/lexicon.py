"""Word lists: vaderSentiment (Hutto and Gilbert 2014) and alt-profanity-check's word weights.

VADER's four scores and the log odds of profanity are five numbers per text. They know nothing of a
task: the logistic regression behind them learns which of the five tell its styles apart.
"""

import functools
from collections.abc import Sequence
from typing import Any

PACKAGES = ("vaderSentiment", "profanity_check")
SCORES = ("compound", "pos", "neg", "neu")
EDGE = 1e-4
"""Probabilities of profanity are cut off here, so that their log odds stay finite."""


def features() -> list[Any]:
    """Return the scores as a transformer; it has nothing to fit."""
    from sklearn.preprocessing import FunctionTransformer

    return [FunctionTransformer(scores)]


@functools.lru_cache(maxsize=1)
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def scores(texts: Sequence[str]) -> Any:
    """Return each text's scores.

    Args:
        texts: n texts.

    Returns:
        A float array (n, 5): VADER's four, then a third of the log odds of profanity, so that all
        columns have about one size.
    """
    import numpy as np
    from profanity_check import predict_prob

    moods = [_vader().polarity_scores(text) for text in texts]
    profane = np.clip(predict_prob(list(texts)), EDGE, 1 - EDGE)
    odds = np.log(profane / (1 - profane)) / 3
    return np.column_stack([[[mood[name] for name in SCORES] for mood in moods], odds])
