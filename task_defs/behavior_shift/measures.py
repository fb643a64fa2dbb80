"""What is measured of one output beside its style: content, diversity, and ways to be broken."""

import math
import re
from collections import Counter

from .texts import words

STUTTER = re.compile(r"(\S{1,8}?)\1{4}")


def content(text: str, reference: str) -> float:
    """Return sentence chrF (Popovic 2015), divided by 100, against a reference or the source."""
    from sacrebleu import sentence_chrf

    return float(sentence_chrf(text, [reference]).score) / 100


def ngrams(text: str, n: int) -> Counter[tuple[str, ...]]:
    """Count a text's runs of n words."""
    found = words(text)
    return Counter(zip(*(found[start:] for start in range(n)), strict=False))


def dist(text: str, n: int) -> float:
    """Return Dist-n (Li et al. 2016): distinct runs of n words by all; 0 if there is none."""
    counts = ngrams(text, n)
    return len(counts) / counts.total() if counts else 0.0


def entropy(text: str) -> float:
    """Return the n-gram entropy of Meng et al. (2022) and of the comparison, in bits.

    The mean of 2/3 times the entropy of bigrams and 4/3 times that of trigrams.
    """
    total = 0.0
    for n, weight in ((2, 2 / 3), (3, 4 / 3)):
        counts = ngrams(text, n)
        shares = [count / counts.total() for count in counts.values()]
        total -= weight * sum(share * math.log2(share) for share in shares)
    return max(0.0, total / 2)


def degenerate(text: str, source: str) -> dict[str, float]:
    """Return 1 or 0 for each way in which an output is no rewrite of its source.

    Returns:
        `empty`: it has no word. `copy`: its words are the source's. `repetition`: a word stands
        three times in a row, a run of characters five times, or over half of its bigrams repeat.
    """
    found = words(text)
    thrice = any(len({*found[i : i + 3]}) == 1 for i in range(len(found) - 2))
    looped = len(found) >= 6 and dist(text, 2) < 0.5
    return {
        "empty": float(not found),
        "copy": float(bool(found) and found == words(source)),
        "repetition": float(thrice or looped or STUTTER.search(text) is not None),
    }
