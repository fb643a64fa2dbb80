"""Documents, splits and metrics of the behaviour suite; loaded by lm-eval through `!function`.

The module reads the pairs beside it and imports nothing of the package, so that the suite runs
under a plain lm-eval that knows only this folder. Metrics are per document:

* `attribute`: probability of the wanted style. The default classifier works offline: it is fitted
  on the texts of the task's train split alone, and `classifier_report` says how well it does on
  the texts of the other splits. A Hugging Face classifier takes its place with
  `dataset_kwargs: {pairs: ..., classifier: MODEL, label: WANTED}`, or with the same two keys in
  the metadata.
* `content`: how much of the reference's wording the output has (sentence chrF, 0 to 1).
* beside them: `exact`, `empty`, `copy`, `repetition`, `entropy`, `dist_1`, `dist_2`.

Fluency needs the unsteered model; the harness adds it, and with it `joint`, the headline.
"""

import functools
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import DatasetDict

Pair = tuple[str, str]
SPLITS = ("train", "validation", "test")
DATA = Path(__file__).resolve().parent / "data"

TEST_SHARE, VALIDATION_SHARE = 0.21, 0.09
"""Two nested 0.3 splits, as in the function vector paper."""

STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Inverse regularisation of the classifier; cross-validation on the train split chooses."""

WORD = re.compile(r"\w+(?:['’]\w+)*")
STUTTER = re.compile(r"(\S{1,8}?)\1{4}")


class BadBehaviour(ValueError):
    """Pairs or a classifier that a behaviour task cannot be measured by."""


def words(text: str) -> list[str]:
    """Return a text's words, letter case and punctuation aside."""
    return WORD.findall(text.casefold())


def read(pairs: str) -> list[Pair]:
    """Read JSON lines of {"input", "output"}.

    Args:
        pairs: The name of a built-in file without its ending, or the path of one's own file.

    Raises:
        BadBehaviour: If the file is missing or malformed; the message names the line.
    """
    path = DATA / f"{pairs}.jsonl" if re.fullmatch(r"\w+", pairs) else Path(pairs)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadBehaviour(f"{path}: cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            item = json.loads(line)
            pair = item["input"].strip(), item["output"].strip()
        except (ValueError, KeyError, TypeError, AttributeError):
            pair = "", ""  # refused below; an empty line too
        if not all(map(words, pair)):
            raise BadBehaviour(
                f'{path} line {number}: expected {{"input": "a text", "output": "its rewrite"}}, '
                f"found {line[:60]}"
            )
        found.append(pair)
    return found


def components(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Group pairs that share a text on either side, letter case and punctuation aside."""
    parent: dict[str, str] = {}

    def find(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    keys = [(" ".join(words(x)), " ".join(words(y))) for x, y in pairs]
    for x, y in keys:
        parent[find(x)] = find(y)
    groups: dict[str, list[Pair]] = {}
    for pair, (x, _) in zip(pairs, keys, strict=True):
        groups.setdefault(find(x), []).append(pair)
    return list(groups.values())


def shuffled(items: Iterable[Any]) -> list[Any]:
    """Return the items in an order that depends on their text alone."""
    return sorted(items, key=lambda item: hashlib.sha256(repr(item).encode()).digest())


def split(pairs: Iterable[Pair], largest: int = 60) -> dict[str, list[Pair]]:
    """Split pairs 70/9/21 % into train, validation and test; no text is in two of them.

    Of several rewrites of one input the first is kept, and nothing that is its own rewrite.

    Args:
        pairs: Texts with their rewrites.
        largest: The most pairs for test (half of it for validation); the rest goes to train.
    """
    unique: dict[tuple[str, ...], Pair] = {}
    for x, y in pairs:
        if words(x) != words(y):
            unique.setdefault(tuple(words(x)), (x, y))
    kept = list(unique.values())
    room = {
        "test": min(largest, max(1, round(TEST_SHARE * len(kept)))),
        "validation": min(largest // 2, max(1, round(VALIDATION_SHARE * len(kept)))),
        "train": len(kept),
    }
    parts: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for group in shuffled(shuffled(group) for group in components(kept)):
        name = next(name for name in room if len(group) <= room[name])
        room[name] -= len(group)
        parts[name] += group
    return {name: shuffled(part) for name, part in parts.items()}


def load(
    *,
    pairs: str,
    classifier: str | None = None,
    label: str | None = None,
    config_source: str = "inline",
    largest: int = 60,
    **_: object,
) -> "DatasetDict":
    """Return a task's splits as lm-eval's documents; it passes metadata and model arguments too.

    Beside `input` and `output` a document has `task`, `classifier` and `label`, by which its
    metrics know what judges it (the last two are empty for the default classifier).

    Args:
        pairs: A built-in file's name, or one's own file, looked for beside the YAML file first.
        classifier: A Hugging Face text classification model in place of the default.
        label: The label of that model which means the wanted style.
        config_source: The YAML file, as lm-eval puts it into a task's metadata.
        largest: The most pairs of the test split.
    """
    from datasets import Dataset, DatasetDict  # half a second, and most callers need no documents

    beside = Path(config_source).resolve().parent / pairs
    task = str(beside) if config_source != "inline" and beside.is_file() else pairs
    if classifier is not None:
        check_label(classifier, label)
    judge = {"task": task, "classifier": classifier or "", "label": label or ""}
    return DatasetDict(
        {
            name: Dataset.from_list([{"input": x, "output": y, **judge} for x, y in part])
            for name, part in split(read(task), largest).items()
        }
    )


@functools.lru_cache(maxsize=16)
def classifier(task: str) -> Callable[[Sequence[str]], list[float]]:
    """Fit the default classifier on a task's train split, once per process.

    TF-IDF of words (1 and 2 in a row) and of characters within words (2 to 5 in a row), then
    logistic regression, its strength chosen by the log loss of 5 folds that keep a pair together.
    The loss is a proper score, so that the probabilities need no calibration afterwards.

    Args:
        task: The `pairs` of the task.

    Returns:
        Texts to probabilities of the wanted style, with the chosen strength as attribute `C`.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_union

    groups = components(split(read(task))["train"])
    texts = [text for group in groups for pair in group for text in pair]
    wanted = np.array([side for group in groups for _ in group for side in (0, 1)])
    group_of = [number for number, group in enumerate(groups) for _ in group for _ in "xy"]
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD.pattern, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    matrix = features.fit_transform(texts)
    folds = GroupKFold(min(5, len(groups)))

    def model(strength: float) -> Any:
        return LogisticRegression(C=strength, solver="liblinear", random_state=0)

    def loss(strength: float) -> float:
        guessed = cross_val_predict(
            model(strength), matrix, wanted, groups=group_of, cv=folds, method="predict_proba"
        )
        return float(log_loss(wanted, guessed))

    strength = min(STRENGTHS, key=loss)
    fitted = model(strength).fit(matrix, wanted)

    def probabilities(texts: Sequence[str]) -> list[float]:
        found: list[float] = fitted.predict_proba(features.transform(texts))[:, 1].tolist()
        return found

    probabilities.C = strength  # type: ignore[attr-defined]
    return probabilities


def classifier_report(task: str) -> dict[str, float]:
    """Measure the default classifier on the texts of the validation and test splits.

    Returns:
        `n` texts; `accuracy`; `mean_probability` of the right style; `brier`, the mean squared
        error of the probability; `calibration_error`, the mean difference of probability and
        frequency over ten bins; `mean_reference` and `mean_input`, the mean probability of the
        wanted style for references and for inputs: what a perfect rewrite and a copy score as
        `attribute`; `C`, the chosen strength.
    """
    judge, parts = classifier(task), split(read(task))
    pairs = [*parts["validation"], *parts["test"]]
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
        "C": judge.C,  # type: ignore[attr-defined]
    }


@functools.lru_cache(maxsize=8)
def check_label(name: str, label: str | None) -> None:
    """Refuse, before anything is generated, a classifier that does not know the wanted label."""
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


@functools.lru_cache(maxsize=2)
def _pipeline(name: str) -> Any:
    from transformers import pipeline

    return pipeline("text-classification", model=name, top_k=None)


def attribute(text: str, doc: Mapping[str, Any]) -> float:
    """Return the probability of the wanted style; 0 for a text without a word."""
    if not words(text):
        return 0.0
    if not doc.get("classifier"):
        return classifier(doc["task"])([text])[0]
    scores = _pipeline(doc["classifier"])([text], truncation=True)[0]
    return next(float(entry["score"]) for entry in scores if entry["label"] == doc["label"])


def content(text: str, reference: str) -> float:
    """Return sentence chrF against the reference (Popovic 2015), divided by 100."""
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


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its one generated output."""
    output = str(results[0]).strip()
    return {
        "attribute": attribute(output, doc),
        "content": content(output, doc["output"]),
        "exact": float(output == doc["output"]),
        **degenerate(output, doc["input"]),
        "entropy": entropy(output),
        "dist_1": dist(output, 1),
        "dist_2": dist(output, 2),
    }
