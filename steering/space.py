"""Search spaces: the values that a setting may take in tuning, as data.

A method declares one distribution for each searched setting. Each holds the method's own default,
which every search tries first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steering.errors import BadSetting


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
    """One of some values.

    Attributes:
        values: What is drawn.
        default: The method's own value, which may be none of them; left out, the first.
    """

    values: tuple[Any, ...]
    default: Any = None

    def __post_init__(self) -> None:
        """Take the first value where no default is given."""
        if self.default is None:
            object.__setattr__(self, "default", self.values[0])


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


def at_depth(setting: int | None, n_layers: int, depth: float, name: str = "") -> int:
    """A layer: the one that is set, or the one at some part of the depth.

    Raises:
        BadSetting: the model has no such layer.
    """
    layer = min(int(depth * n_layers), n_layers - 1) if setting is None else setting
    if not 0 <= layer < n_layers:
        raise BadSetting(
            f"{name}: layer {layer}, expected 0 to {n_layers - 1}: the model has {n_layers} layers"
        )
    return layer


Distribution = Choice | Integer | Real
SearchSpace = Mapping[str, Distribution]


KINDS: Mapping[str, type[Distribution]] = {"choice": Choice, "integer": Integer, "real": Real}


def to_json(own: Distribution) -> dict[str, Any]:
    """A distribution as plain data."""
    kind = next(name for name, cls in KINDS.items() if isinstance(own, cls))
    return {"kind": kind, **asdict(own)}


def from_json(content: Mapping[str, Any] | Sequence[Any]) -> Distribution:
    """Read it back; a list holds the values of a choice, as files of earlier versions have it."""
    if not isinstance(content, Mapping):
        return Choice(tuple(content))
    own = {name: value for name, value in content.items() if name != "kind"}
    if "values" in own:
        own["values"] = tuple(own["values"])
    return KINDS[content["kind"]](**own)
