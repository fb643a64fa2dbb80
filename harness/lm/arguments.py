"""Which keyword belongs to whom: the adapter, a method's settings, or lm-eval's HFLM."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING

from lm_eval.models.huggingface import HFLM

from steering import SteeringError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class BadArguments(SteeringError):
    """A keyword of an lm-eval model is unknown, missing, or contradicts another one."""


def hflm_arguments() -> frozenset[str]:
    """The keywords that HFLM names itself; others it hands to `from_pretrained`."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(HFLM.__init__).parameters.values()
    return frozenset(p.name for p in parameters if p.kind in kinds) - {"self"}


def refuse_unknown(
    who: str, given: Iterable[str], own: Collection[str], *, loads_model: bool
) -> None:
    """Refuse a keyword that nobody takes, or that looks like a misspelt one.

    Args:
        who: Name of the lm-eval model, for the message.
        given: The keywords that were given.
        own: The keywords beside HFLM's own.
        loads_model: Whether the model is loaded by name. Then a keyword unlike any known one goes
            to `from_pretrained`, which judges it; for a loaded model HFLM would drop it silently.

    Raises:
        BadArguments: with the nearest known keyword.
    """
    known = sorted({*own, *hflm_arguments()})
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8 if loads_model else 0.6)
        if near or not loads_model:
            hint = f" Did you mean {near[0]!r}?" if near else ""
            own_words = ", ".join(sorted(own))
            raise BadArguments(
                f"{who} has no argument {key!r}.{hint} Its own: {own_words}; "
                "beside them every argument of lm-eval's hf model."
            )
