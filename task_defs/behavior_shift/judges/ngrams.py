"""N-grams: TF-IDF of words (1 and 2 in a row) and of characters within words (2 to 5)."""

from typing import Any

from ..texts import WORD


def features() -> list[Any]:
    """Return the two vectorizers, not yet fitted."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD.pattern, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    ]
