"""Columns of tables as data: key, heading, how a value is written, which direction is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SUITE_TITLES = {"precision": "Precision", "behavior_shift": "Behaviour shift"}
DASH = "–"
"""What was not measured."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: The value's key in a row.
        heading: Title without the arrow.
        write: Value -> text; missing values never get here.
        better: Whether a higher value is better; None where there is no better.
    """

    key: str
    heading: str
    write: Callable[[Any], str] = str
    better: bool | None = None

    @property
    def title(self) -> str:
        """Heading with an arrow that points where better lies."""
        return self.heading if self.better is None else f"{self.heading} {arrow(self.better)}"

    @property
    def numeric(self) -> bool:
        """Whether the column is set flush right."""
        return self.write is not str

    def text(self, row: dict[str, Any]) -> str:
        """A row's value as text; a dash for one that is missing or not a number."""
        value = row.get(self.key)
        first = value[0] if isinstance(value, tuple) else value
        missing = first is None or (isinstance(first, float) and math.isnan(first))
        return DASH if missing else self.write(value)


def arrow(higher_is_better: bool) -> str:
    """The direction of a metric."""
    return "↑" if higher_is_better else "↓"


def fixed(digits: int = 3) -> Callable[[Any], str]:
    """A number with fixed decimals."""
    return lambda value: f"{value:.{digits}f}"


def three_digits(value: float) -> str:
    """A number of any size with three significant digits."""
    return f"{value:.3g}"


def of_any_size(value: float) -> str:
    """A number with two decimals, or with three digits where these tell nothing."""
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"


def signed(value: float) -> str:
    """A difference."""
    return f"{value:+.3f}".replace("-", "−")


def pair(value: tuple[float, float]) -> str:
    """An interval."""
    if any(map(math.isnan, value)):
        return DASH
    return f"[{signed(value[0])}, {signed(value[1])}]"


def p_value(value: float) -> str:
    """A p-value, bounded from below as resampling bounds it."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def percent(value: float) -> str:
    """A share."""
    return f"{100 * value:.0f} %"


def seconds(value: float) -> str:
    """A duration with three significant digits at most."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    """A multiple of the baseline."""
    return f"{value:.2f}×"


def ratios(value: tuple[float, float]) -> str:
    """Two multiples of the baseline, the ends of an interval."""
    return f"[{value[0]:.2f}, {value[1]:.2f}]"


def size(value: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def suite_title(suite: str) -> str:
    """A suite's name for people."""
    return SUITE_TITLES.get(suite, suite)
