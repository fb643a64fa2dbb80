"""Search spaces: the values that a setting may take in tuning, as data.

A method declares one distribution for each searched setting. Each holds the method's own default,
which every search tries first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """What a search space may depend on.

    Attributes:
        n_layers: Blocks (l).
        n_heads: Query heads of a block (h).
        hidden_size: Width of the residual stream (d).
    """

    n_layers: int
    n_heads: int
    hidden_size: int


@dataclass(frozen=True)
class Choice:
    """One of some values, the first of which is the default."""

    values: tuple[Any, ...]

    @property
    def default(self) -> Any:
        """The method's own value."""
        return self.values[0]


@dataclass(frozen=True)
class Integer:
    """A whole number from low to high, both included; `log` draws small ones more often."""

    low: int
    high: int
    default: int
    log: bool = False


@dataclass(frozen=True)
class Real:
    """A number from low to high; `log` draws each order of magnitude alike."""

    low: float
    high: float
    default: float
    log: bool = True


Distribution = Choice | Integer | Real
SearchSpace = Mapping[str, Distribution]
