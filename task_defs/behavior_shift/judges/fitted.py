"""Judges fitted on a task's own texts: features, then logistic regression."""

from collections.abc import Callable, Sequence
from typing import Any

from ..texts import Labelled, Pair, components
from . import embedding, lexicon, ngrams

Judge = Callable[[Sequence[str]], list[float]]

FEATURES: dict[str, Callable[[], list[Any]]] = {
    "ngrams": ngrams.features,
    "embedding": embedding.features,
    "lexicon": lexicon.features,
}
"""What a part of a judge's name looks at: scikit-learn transformers of a list of texts."""

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Inverse regularisation; cross-validation chooses."""

MOST_PAIRS = 2000
"""Pairs that a judge is fitted on; of more, those at even distances."""


class Fitted:
    """Features and logistic regression, fitted on pairs and on single texts.

    The strength is chosen by the log loss of 5 folds that keep texts of one group of pairs
    together. The loss is a proper score, so that the probabilities need no calibration afterwards.

    Attributes:
        strength: The chosen inverse regularisation.
    """

    def __init__(self, name: str, pairs: Sequence[Pair], more: Sequence[Labelled] = ()) -> None:
        """Fit on what a judge may see.

        Args:
            name: Parts of FEATURES, joined by `+`.
            pairs: An unwanted text and a wanted one each; of more than MOST_PAIRS some are seen.
            more: Single texts with 1 for the wanted style, 0 for the other.
        """
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_union

        groups = components(pairs[:: -(-len(pairs) // MOST_PAIRS) or 1])
        seen = [
            (text, side, number)
            for number, group in enumerate(groups)
            for pair in group
            for side, text in enumerate(pair)
        ]
        seen += [(text, side, number) for number, (text, side) in enumerate(more, len(groups))]
        texts, sides, group_of = zip(*seen, strict=True)
        wanted = np.array(sides)
        self._features: Any = make_union(*(f for part in name.split("+") for f in FEATURES[part]()))
        matrix = self._features.fit_transform(texts)
        folds = GroupKFold(min(5, len({*group_of})))

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
        rows = self._features.transform(list(texts))
        found: list[float] = self._model.predict_proba(rows)[:, 1].tolist()
        return found
