"""What the values of options may be: each function reads one kind and refuses all else.

argparse names the option before what they say.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from harness.measuring.asking import DOSES

LARGEST, SEEDS = 10**9, 2**32
MEMORY = 2.0**20
"""GiB that a machine may have."""

FLOAT32 = 3.4028234663852886e38
"""The largest float32: what is beyond is infinite in a model."""


def key_values(text: str) -> dict[str, Any]:
    """`a=1,b=true,c=name` with values read as JSON where they are JSON; or a JSON object."""
    if text.strip().startswith("{"):
        try:
            content: dict[str, Any] = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as problem:
            raise argparse.ArgumentTypeError(f"{text[:80]!r} is not JSON ({problem})") from problem
        return content
    found: dict[str, Any] = {}
    for part in _split(text):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key:
            raise argparse.ArgumentTypeError(f"{part[:80]!r} is not KEY=VALUE")
        if key in found:
            raise argparse.ArgumentTypeError(f"{key!r} is given twice; keep one")
        found[key] = _value(value.strip())
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets: `heads=[[8,1],[9,2]],layer=3`."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "[{") - (sign in "]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part for part in parts if part.strip()]


def _value(text: str) -> Any:
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text
    except RecursionError as problem:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is nested too deep") from problem


def positive(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1, LARGEST)


def whole(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0, LARGEST)


def seed(text: str) -> int:
    """What a random generator can begin with."""
    return _whole(text, 0, SEEDS - 1)


def _whole(text: str, low: int, high: int) -> int:
    try:
        found = int(text)
    except ValueError:
        found = low - 1
    if not low <= found <= high:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a whole number from {low}"
            + ("" if high == LARGEST else f" to {high}")
        )
    return found


def batch_size(text: str) -> str:
    """Rows per batch, or `auto`, or `auto:N`."""
    first, colon, times = text.partition(":")
    if first == "auto":
        if colon:
            positive(times)
    else:
        positive(text)
    return text


def listed(text: str) -> str:
    """Names with commas between them, none of them empty."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} holds an empty name")
    return ",".join(names)


def filled(text: str) -> str:
    """Any text but an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the value is empty")
    return text


def folder(text: str) -> Path:
    """A path that is not empty: `Path("")` would be the present folder."""
    return Path(filled(text))


def numbers(text: str) -> tuple[int, ...]:
    """`0,1,2`."""
    try:
        return tuple(dict.fromkeys(whole(part.strip()) for part in text.split(",")))
    except argparse.ArgumentTypeError as problem:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a list such as 0,1,2") from problem


def seeds(text: str) -> tuple[int, ...]:
    """`0,1,2`; what random generators can begin with."""
    return tuple(seed(str(each)) for each in numbers(text))


def reals(text: str) -> tuple[float, ...]:
    """`0.5,1,2`; any finite numbers."""
    try:
        return tuple(dict.fromkeys(finite(part) for part in text.split(",")))
    except argparse.ArgumentTypeError as problem:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a list of numbers such as 0.5,1,2"
        ) from problem


def finite(text: str) -> float:
    """A number that a float32 can hold."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not abs(found) <= FLOAT32:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a finite number")
    return found


def share(text: str) -> float:
    """A finite number from 0."""
    found = finite(text)
    if found < 0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0")
    return found


def memory(text: str) -> float:
    """GiB."""
    return _between(text, 2.0**-10, MEMORY)


def dose(text: str) -> float:
    """Nats per token."""
    return _between(text, *DOSES)


def _between(text: str, low: float, high: float) -> float:
    found = finite(text)
    if not low <= found <= high:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from {low:g} to {high:g}")
    return found


def truth(text: str) -> bool:
    """`true` or `false`, in lm-eval's spellings."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return known[text.lower()]
