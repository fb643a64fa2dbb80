"""Judges of style: one interface, texts in, the probability of the wanted style of each out.

A judge is one of

* `ngrams`: words and characters (`ngrams.py`), fitted on a task's train split;
* `embedding`: a small sentence encoder (`embedding.py`), fitted;
* `lexicon`: two published word lists (`lexicon.py`), fitted;
* `embedding+lexicon`: both beside each other, fitted;
* `hf:MODEL:LABEL`: a text classification model that somebody else trained (`hugging_face.py`).

Those that are fitted share one logistic regression (`fitted.py`); `accuracy.py` measures them all.
No judge reads the activations of the model that is measured.
"""

from importlib.util import find_spec

from ..texts import BadBehaviour
from .accuracy import flat, report
from .embedding import PACKAGE, cosines
from .fitted import Fitted, Judge
from .hugging_face import PREFIX, check_label, hugging_face
from .lexicon import PACKAGES

__all__ = [
    "FITTED",
    "NGRAMS",
    "Fitted",
    "Judge",
    "check",
    "check_label",
    "cosines",
    "flat",
    "hugging_face",
    "installed",
    "named",
    "report",
    "spelled",
]

NGRAMS = "ngrams"
FITTED = (NGRAMS, "embedding", "lexicon", "embedding+lexicon")
"""Names of the judges that are fitted on a task's texts."""
NEEDED = {"embedding": (PACKAGE,), "lexicon": PACKAGES}
"""Modules that a part of a judge's name needs, by that part."""


def missing(name: str) -> list[str]:
    """Return the modules that a fitted judge needs and that are not installed."""
    wanted = (module for part in name.split("+") for module in NEEDED.get(part, ()))
    return [module for module in wanted if find_spec(module) is None]


def installed() -> list[str]:
    """Return the fitted judges that can be used here."""
    return [name for name in FITTED if not missing(name)]


def named(judge: str) -> tuple[str, str]:
    """Split a judge's name into what documents carry: classifier and label.

    Args:
        judge: One of FITTED, or `hf:MODEL:LABEL`.

    Returns:
        Classifier and label; both are empty for n-grams, the label for all that are fitted.

    Raises:
        BadBehaviour: A name that is no judge.
    """
    if judge in FITTED:
        return ("" if judge == NGRAMS else judge), ""
    kind, _, model = judge.partition(":")
    name, _, label = model.rpartition(":")
    if f"{kind}:" != PREFIX or not model:
        raise BadBehaviour(
            f"no judge named {judge!r}. Judges: {', '.join(FITTED)}, {PREFIX}MODEL:LABEL"
        )
    return (name, label) if name else (model, "")


def spelled(classifier: str, label: str) -> str:
    """Return the name of the judge that a document's two fields mean; undoes `named`."""
    if not classifier or classifier in FITTED:
        return classifier or NGRAMS
    return f"{PREFIX}{classifier}:{label}"


def check(classifier: str, label: str | None) -> None:
    """Refuse, before anything is generated, a judge that could not judge.

    Raises:
        BadBehaviour: A package that is not installed, or a model without the label.
    """
    if not classifier or classifier in FITTED:
        absent = missing(classifier)
        if absent:
            raise BadBehaviour(
                f"judge {classifier!r} needs {' and '.join(absent)}, not installed here; "
                "pip install 'steergauge[real]', or take --judge ngrams"
            )
    else:
        check_label(classifier, label)
