"""A text classification model by name, as a judge."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..texts import BadBehaviour

PREFIX = "hf:"


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
        reason = " ".join(str(error).split())[:300]
        raise BadBehaviour(f"classifier {name!r} cannot be loaded: {reason}") from error
    if label not in labels:
        raise BadBehaviour(
            f"classifier {name!r} has no label {label!r}; give as label the one that means the "
            f"wanted style: {', '.join(labels)}"
        )


@functools.lru_cache(maxsize=4)
def hugging_face(name: str, label: str) -> Callable[[Sequence[str]], list[float]]:
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
