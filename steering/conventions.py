"""Five conventions in which steering methods differ, as data of the method.

Where it is read and at which token, where it acts, at which tokens, how it is scaled and how its
sign is fixed: two methods that differ in one of them are two methods, whatever their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

HEADS = {
    "read_at": "read at",
    "read_tokens": "tokens read",
    "acts_at": "acts at",
    "acts_on": "tokens changed",
    "scale": "scale",
    "sign": "sign",
}


@dataclass(frozen=True)
class Conventions:
    """How a method reads and acts, at its default settings.

    Attributes:
        read_at: Sites that are read.
        read_tokens: Tokens of a text that are read.
        acts_at: Sites of the edits, and the operation.
        acts_on: Positions of the edits.
        scale: What a coefficient of 1 means.
        sign: What fixes the sign.
    """

    read_at: str
    read_tokens: str
    acts_at: str
    acts_on: str
    scale: str
    sign: str

    def as_json(self) -> dict[str, str]:
        """Plain data for a vector's provenance."""
        return asdict(self)


def lines(conventions: Mapping[str, Any]) -> list[str]:
    """The conventions as items of a vector's card."""
    return [f"- {HEADS[key]}: {conventions[key]}" for key in HEADS if key in conventions]


def table(methods: Iterable[type[Any]]) -> str:
    """A markdown table of methods: one row each, one column for each convention."""
    rows = [["method", *HEADS.values()]]
    rows.append(["---"] * len(rows[0]))
    for method in methods:
        own = method.conventions.as_json()
        rows.append([f"`{method.name}`", *(own[key] for key in HEADS)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
