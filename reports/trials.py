"""What a search tried, as tables and figures read it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from reports.comparison import Comparison
from reports.record import Record, number

Trial = Mapping[str, Any]


def tuned(comparison: Comparison) -> Iterator[Record]:
    """The records whose settings were searched for them, not taken over from another arm."""
    for record in comparison.records:
        if record.tuning and not record.spec["arm"].get("matched") and "@" not in record.arm:
            yield record


def measured(record: Record) -> list[Trial]:
    """Every configuration that has a score, in the order in which they were tried."""
    tuning = record.tuning or {}
    return [trial for trial in tuning["trials"] if trial["score"] is not None]


def inside(record: Record) -> list[Trial]:
    """Those within the space. The published settings may lie outside, in another unit."""
    space = (record.tuning or {}).get("space") or {}
    return [
        trial
        for trial in measured(record)
        if all(_holds(own, trial["settings"].get(name)) for name, own in space.items())
    ]


def strength(trial: Trial) -> float:
    """A configuration's coefficient; NaN where the method has none."""
    return number(trial["settings"].get("coefficient"))


def best(record: Record, trials: list[Trial]) -> float:
    """The best score of some configurations; NaN of none."""
    better = max if (record.tuning or {})["higher_is_better"] else min
    return better((float(trial["score"]) for trial in trials), default=math.nan)


def curve(record: Record) -> list[float]:
    """The best score of the first 1, 2, 3 ... configurations; NaN until there is one."""
    tuning = record.tuning or {}
    better = max if tuning["higher_is_better"] else min
    found, so_far = [], math.nan
    for trial in tuning["trials"]:
        score = math.nan if trial["score"] is None else float(trial["score"])
        if not math.isnan(score):
            so_far = score if math.isnan(so_far) else better(so_far, score)
        found.append(so_far)
    return found


def _holds(own: Any, value: Any) -> bool:
    """Whether a choice holds a value; every other distribution has the unit of its default.

    Spaces of earlier versions were lists of values.
    """
    values = own.get("values") if isinstance(own, Mapping) else own
    return not isinstance(values, list | tuple) or value in values
