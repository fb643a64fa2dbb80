"""The contract of a steering method, and the registry of all methods."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch

from steering.conventions import Conventions
from steering.edit import Edit
from steering.errors import BadSetting, NotFinite, UnknownMethod, did_you_mean
from steering.sites import resolve
from steering.space import SearchSpace, Shape
from steering.vector import SteeringVector

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,59}", re.ASCII)
GROUP = "steergauge.methods"
"""Entry-point group through which installed packages add methods."""


Contrast = tuple[str, Sequence[str], Sequence[str]]
"""A question with its right answers and its wrong ones."""


class Examples(Protocol):
    """Pairs (x, y), and the task's own way to render them as an n-shot prompt.

    Two attributes more are used where examples have them: `contrasts`, a sequence of `Contrast`
    (A/B data, multiple choice), and `instruction`, the task in words.
    """

    @property
    def name(self) -> str:
        """The task."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The pairs (x, y) of one split."""

    @property
    def shots(self) -> int:
        """Demonstrations of a few-shot prompt."""

    def prompt(self, demonstrations: Sequence[tuple[str, str]], query: str) -> str:
        """The text that ends where the answer to the query begins."""

    def target(self, y: str) -> str:
        """An answer as it follows the prompt."""

    def demonstration(self, x: str, y: str) -> str:
        """One answered question as it stands in a prompt."""

    def fingerprint(self) -> str:
        """Identity of the pairs and of the rendering."""


@dataclass(frozen=True, kw_only=True)
class SteeringMethod(ABC):
    """An algorithm that fits a steering vector: a frozen dataclass of settings with a `fit`.

    Nothing is checked or changed in the constructor. `fit` leaves the model bit-identical.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    summary: ClassVar[str]
    conventions: ClassVar[Conventions | None] = None
    control: ClassVar[bool] = False

    seed: int = 0

    @classmethod
    @abstractmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """Distributions of the settings that tuning searches on a model of some shape."""

    @abstractmethod
    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Make a vector from examples.

        Args:
            model: A Hugging Face decoder.
            tokenizer: Its tokenizer.
            examples: Pairs and their rendering.
        """

    def settings(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return content

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a method from JSON values.

        Raises:
            BadSetting: an unknown setting (with the nearest one) or a value of another type.
        """
        hints = typing.get_type_hints(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        given = {}
        for key, value in settings.items():
            if key not in known:
                raise BadSetting(
                    f"{cls.name} has no setting {key!r}.{did_you_mean(key, known)} Settings: "
                    f"{', '.join(sorted(known))}"
                )
            given[key] = _frozen(value)
            if not _is(given[key], hints[key]):
                expected = getattr(hints[key], "__name__", hints[key])
                raise BadSetting(f"{cls.name}: {key}={value!r}, expected {expected}")
        return cls(**given)

    def vector(
        self,
        edits: Sequence[Edit],
        model: Any,
        examples: Examples,
        *,
        coefficient: float,
        unit: str = "raw",
        **facts: Any,
    ) -> SteeringVector:
        """Put edits together with everything that says where they came from.

        Args:
            edits: The edits.
            model: The model that they were fitted on.
            examples: What they were fitted on.
            coefficient: Strength.
            unit: What a coefficient of 1 means.
            **facts: More provenance, as JSON.

        Raises:
            BadSetting: a layer that the model does not have.
            NotFinite: a tensor with NaN or infinity.
        """
        n_layers = resolve(model).n_layers
        for edit in edits:
            if not 0 <= edit.layer < n_layers:
                raise BadSetting(
                    f"{self.name}: layer {edit.layer}, expected 0 to {n_layers - 1}: the model has "
                    f"{n_layers} layers"
                )
            if not torch.isfinite(edit.tensor).all():
                raise NotFinite(
                    f"{self.name}: the vector holds NaN or infinity at layer {edit.layer}; load "
                    "the model in float32"
                )
        config = model.config.to_json_string(use_diff=False)
        provenance = {
            "method": self.name,
            "method_version": self.version,
            "settings": self.settings(),
            "task": examples.name,
            "data_sha256": hashlib.sha256(examples.fingerprint().encode()).hexdigest(),
            "base_model": str(getattr(model.config, "_name_or_path", "") or ""),
            "base_revision": getattr(model.config, "_commit_hash", None),
            "base_config_sha256": hashlib.sha256(config.encode()).hexdigest(),
            **({"conventions": self.conventions.as_json()} if self.conventions else {}),
            **facts,
        }
        return SteeringVector(tuple(edits), coefficient, unit, provenance)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _is(value: Any, hint: Any) -> bool:
    """Whether a JSON value has an annotated type (an int is a float; a bool is no int)."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


_registered: dict[str, type[SteeringMethod]] = {}
M = TypeVar("M", bound=type[SteeringMethod])


def register(method: M) -> M:
    """Make a method known by its name; a class decorator.

    The same class of the same file may be registered again, as when its file is read anew.

    Raises:
        BadSetting: a name that an arm cannot have, or that is another method's.
    """
    name = getattr(method, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadSetting(
            f"{method.__qualname__}: name = {str(name)[:60]!r}, expected up to 60 letters, digits, "
            "dots, dashes and underscores, such as name = 'my_method'"
        )
    other = _registered.get(name)
    if other is not None and _origin(other) != _origin(method):
        raise BadSetting(
            f"the method name {name!r} is taken by {other.__qualname__} in {_origin(other)[0]}; "
            "choose another name"
        )
    _registered[name] = method
    return method


def _origin(method: type) -> tuple[str, str]:
    """The file (or the module without one) and the name in it that define a class."""
    module = sys.modules.get(method.__module__)
    return str(getattr(module, "__file__", None) or method.__module__), method.__qualname__


@cache
def _load_installed() -> None:
    for point in entry_points(group=GROUP):
        if point.name not in _registered:
            register(point.load())


def names() -> tuple[str, ...]:
    """Names of all methods: built-in, registered and installed."""
    _load_installed()
    return tuple(sorted(_registered))


def get(name: str) -> type[SteeringMethod]:
    """The method with a name.

    Raises:
        UnknownMethod: with the nearest name and all of them.
    """
    known = names()
    if name not in known:
        raise UnknownMethod(
            f"no steering method named {name!r}.{did_you_mean(name, known)} Registered: "
            f"{', '.join(known)}"
        )
    return _registered[name]
