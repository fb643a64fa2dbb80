"""Whether a fit left the model as it was: at a glance, since every fit of others is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import ModelChanged

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def untouched(model: Any, what: str) -> Iterator[None]:
    """Refuse to go on with a model that has other weights, hooks or modes afterwards.

    Args:
        model: Looked at before and after.
        what: What is done with it.

    Raises:
        ModelChanged: with the first part that differs.
    """
    before = _state(model)
    yield
    after = _state(model)
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            raise ModelChanged(
                f"{what} changed the model ({name or 'the whole'}), so that nothing after it could "
                "be measured; a fit leaves weights, hooks and modes as they were: work on a copy, "
                "or undo it in a finally"
            )


def _state(model: Any) -> dict[str, Any]:
    """Of each module its hooks and mode; of each weight where it lies and some of its values."""
    found: dict[str, Any] = {
        name: (list(module._forward_hooks), list(module._forward_pre_hooks), module.training)
        for name, module in model.named_modules()
    }
    for name, weight in model.named_parameters():
        found[name] = (weight.data_ptr(), weight._version, _glimpse(weight))
    return found


def _glimpse(weight: Tensor) -> str:
    """First, middle and last value: an edit through `.data` leaves no other trace."""
    flat = weight.detach().reshape(-1)
    if weight.is_meta or not len(flat):
        return ""
    return str([float(flat[place]) for place in (0, len(flat) // 2, -1)])
