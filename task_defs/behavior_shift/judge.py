"""Classifiers of style: from texts to probabilities of the wanted one."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .texts import WORD, BadBehaviour, Pair, components

Judge = Callable[[Sequence[str]], list[float]]

STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Inverse regularisation of the default classifier; cross-validation chooses."""


class Offline:
    """The default classifier: n-grams and logistic regression, fitted on pairs.

    TF-IDF of words (1 and 2 in a row) and of characters within words (2 to 5 in a row), then
    logistic regression, its strength chosen by the log loss of 5 folds that keep a pair together.
    The loss is a proper score, so that the probabilities need no calibration afterwards.

    Attributes:
        strength: The chosen inverse regularisation.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """Fit on pairs of an unwanted text and a wanted one, in a second or so."""
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_union

        groups = components(pairs)
        texts = [text for group in groups for pair in group for text in pair]
        wanted = np.array([side for group in groups for _ in group for side in (0, 1)])
        group_of = [number for number, group in enumerate(groups) for _ in group for _ in "xy"]
        self._features: Any = make_union(
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD.pattern, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )
        matrix = self._features.fit_transform(texts)
        folds = GroupKFold(min(5, len(groups)))

        def model(strength: float) -> Any:
            return LogisticRegression(C=strength, solver="liblinear", random_state=0)

        def loss(strength: float) -> float:
            guessed = cross_val_predict(
                model(strength), matrix, wanted, groups=group_of, cv=folds, method="predict_proba"
            )
            return float(log_loss(wanted, guessed))

        self.strength = min(STRENGTHS, key=loss)
        self._model = model(self.strength).fit(matrix, wanted)

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return the probability of the wanted style for each text."""
        found: list[float] = self._model.predict_proba(self._features.transform(texts))[
            :, 1
        ].tolist()
        return found


def check_label(name: str, label: str | None) -> None:
    """Refuse, before anything is generated, a classifier that does not know the wanted label.

    Args:
        name: A Hugging Face text classification model, hub id or folder.
        label: Its label that means the wanted style.
    """
    from transformers import AutoConfig

    try:
        labels = list(dict(sorted(AutoConfig.from_pretrained(name).id2label.items())).values())
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadBehaviour(f"classifier {name!r} cannot be loaded: {reason}") from error
    if label not in labels:
        raise BadBehaviour(
            f"classifier {name!r} has no label {label!r}; give as label the one that means the "
            f"wanted style: {', '.join(labels)}"
        )


@functools.lru_cache(maxsize=4)
def hugging_face(name: str, label: str) -> Judge:
    """Load a Hugging Face text classification model as a judge, once per process.

    Args:
        name: Hub id or folder.
        label: Its label that means the wanted style.
    """
    check_label(name, label)
    from transformers import pipeline

    classify: Any = pipeline("text-classification", model=name, top_k=None)

    def judge(texts: Sequence[str]) -> list[float]:
        found = classify(list(texts), truncation=True)
        return [next(e["score"] for e in scores if e["label"] == label) for scores in found]

    return judge


def report(judge: Judge, pairs: Sequence[Pair]) -> dict[str, float]:
    """Measure a judge on pairs that it has not seen.

    Returns:
        `n` texts; `accuracy`; `mean_probability` of the right style; `brier`, the mean squared
        error of the probability; `calibration_error`, the mean difference of probability and
        frequency over ten bins; `mean_reference` and `mean_input`, the mean probability of the
        wanted style for references and for inputs: what a perfect rewrite and a copy score as
        `attribute`.
    """
    of_inputs, of_references = (judge(list(side)) for side in zip(*pairs, strict=True))
    right = [*(1 - p for p in of_inputs), *of_references]
    n = len(right)
    bins: dict[int, list[float]] = {}  # probability minus outcome, by tenth
    for wanted, found in ((0, of_inputs), (1, of_references)):
        for p in found:
            bins.setdefault(min(9, int(10 * p)), []).append(p - wanted)
    return {
        "n": n,
        "accuracy": sum(p > 0.5 for p in right) / n,
        "mean_probability": sum(right) / n,
        "brier": sum((1 - p) ** 2 for p in right) / n,
        "calibration_error": sum(abs(sum(gaps)) for gaps in bins.values()) / n,
        "mean_reference": sum(of_references) / len(pairs),
        "mean_input": sum(of_inputs) / len(pairs),
    }
