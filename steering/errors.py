"""What can go wrong through no fault of ours: each message is one line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteeringError(ValueError):
    """Base class: something was given that steering cannot work with."""


class UnsupportedModel(SteeringError):
    """The model has no decoder layout that can be steered."""


class UnknownMethod(SteeringError):
    """No steering method has this name."""


class BadSetting(SteeringError):
    """A method's setting is unknown, of the wrong type or out of range."""


class BadVector(SteeringError):
    """A steering vector is malformed or does not fit the model."""


class BadExamples(SteeringError):
    """The examples cannot be fitted on."""


class NotFinite(SteeringError):
    """NaN or infinity in activations, effects or a vector."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence, with a space before it, that names the nearest known word; empty without one."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean {near[0]!r}?" if near else ""
