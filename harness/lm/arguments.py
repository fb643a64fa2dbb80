"""Which keyword belongs to whom: the adapter, a method's settings, or lm-eval's HFLM."""

from __future__ import annotations

import inspect
import typing
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge
from lm_eval.models.huggingface import HFLM
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import did_you_mean, one_line
from steering import SteeringError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


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
        hint = did_you_mean(key, known, 0.8 if loads_model else 0.6)
        if hint or not loads_model:
            own_words = ", ".join(sorted(own))
            raise BadArguments(
                f"{who} has no argument {key!r}.{hint} Its own: {own_words}; "
                "beside them every argument of lm-eval's hf model."
            )


@cache
def _kinds() -> dict[str, TypeAdapter[Any]]:
    """Schemas of HFLM's own annotations, by keyword."""
    anything = ConfigDict(arbitrary_types_allowed=True)
    hints = typing.get_type_hints(HFLM.__init__)
    found = {}
    for key in hflm_arguments() & hints.keys():
        hint: Any = Annotated[int, Ge(1)] | None if key in COUNTS else hints[key]
        found[key] = TypeAdapter(hint, config=anything)
    return found


COUNTS = ("max_length", "max_batch_size")


def refuse_wrong_types(given: Mapping[str, Any]) -> None:
    """Refuse a value that HFLM's annotation of its keyword does not allow, before it is used.

    Raises:
        BadArguments: with the keyword and what it takes.
    """
    for key, value in given.items():
        if key in _kinds():
            try:
                _kinds()[key].validate_python(value, strict=True)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                raise BadArguments(f"model argument {key}={value!r:.60}: {first['msg']}") from error


def tokens_written(task: str, settings: Mapping[str, Any], default: int) -> int:
    """The most tokens that a generation with some settings writes.

    Args:
        task: Whose settings they are.
        settings: As lm-eval takes them.
        default: The most tokens where they say nothing.

    Raises:
        BadArguments: a value of another kind, or a contradiction.
    """
    from lm_eval.models.utils import normalize_gen_kwargs
    from transformers import GenerationConfig

    try:
        known = normalize_gen_kwargs(dict(settings), default)
        until = known.pop("until", [])
        if not all(isinstance(text, str) for text in until):
            raise ValueError(f"until={until!r} is no list of texts")
        for name in ("num_beams", "num_return_sequences"):
            count = known.get(name)
            if count is not None and (type(count) is not int or count < 1):
                raise ValueError(f"{name}={count!r} is no whole number from 1")
        sampled, share = known.get("do_sample"), known.get("top_p")
        if not isinstance(sampled, bool | None):
            raise ValueError(f"do_sample={sampled!r} is neither true nor false")
        if share is not None and not 0 < float(share) <= 1:
            raise ValueError(f"top_p={share!r} is no share above 0 and up to 1")
        written = int(known.pop("max_gen_toks"))
        if written < 1:
            raise ValueError(f"max_gen_toks={written}, expected at least 1")
        GenerationConfig(**{k: v for k, v in known.items() if v or k != "temperature"})
    except (ValueError, TypeError) as problem:
        raise bad_generation(task, settings, problem) from problem
    return written


def bad_generation(what: str, settings: Mapping[str, Any], problem: Exception) -> BadArguments:
    """What is wrong with settings of `generate`."""
    shown = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return BadArguments(
        f"{what} with {shown[:200]}: {one_line(problem)[:300]}; mend --gen_kwargs or "
        "the task's generation_kwargs"
    )
