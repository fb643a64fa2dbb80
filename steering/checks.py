"""The contract of a method as named checks, run over the registry by the tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from steering.method import Examples, SteeringMethod
from steering.vector import SteeringVector

Check = tuple[str, bool]


@torch.no_grad()
def _logits(model: Any, tokenizer: Any, text: str) -> Tensor:
    ids = torch.tensor([tokenizer.encode(text)], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def check_method(
    method: SteeringMethod, model: Any, tokenizer: Any, examples: Examples
) -> Iterator[Check]:
    """Try a method's contract on a model, one named check at a time.

    Args:
        method: A method with the settings to be tried.
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        examples: What is fitted on.

    Yields:
        (name, whether it holds).
    """
    again = type(method).from_settings(method.settings())
    yield "settings round-trip through JSON", again.settings() == method.settings()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = _hooks(model)
    vector = method.fit(model, tokenizer, examples)
    same = all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    yield "fit leaves the model bit-identical", same
    yield "fit leaves no hook behind", _hooks(model) == hooks
    yield "fit is deterministic for a seed", _equal(vector, again.fit(model, tokenizer, examples))
    text = examples.prompt((), examples.pairs[0][0])

    def ask() -> Tensor:
        return _logits(model, tokenizer, text)

    plain = ask()
    yield from _attachment(vector, model, ask, plain)


def _attachment(
    vector: SteeringVector, model: Any, ask: Callable[[], Tensor], plain: Tensor
) -> Iterator[Check]:
    with vector.attached(model, coefficient=0.0):
        yield "coefficient 0 gives bit-identical logits", torch.equal(ask(), plain)
    with vector.attached(model):
        yield "the vector moves the logits", not torch.equal(ask(), plain)
    yield "leaving restores the logits bit-exactly", torch.equal(ask(), plain)
    try:
        with vector.attached(model):
            raise KeyError("on purpose")
    except KeyError:
        pass
    yield "an exception restores the logits bit-exactly", torch.equal(ask(), plain)
    copied = copy.deepcopy(vector)
    with copied.attached(model):
        first = ask()
    with vector.attached(model):
        yield "a copy steers alike", torch.equal(first, ask())


def _equal(one: SteeringVector, other: SteeringVector) -> bool:
    return len(one.edits) == len(other.edits) and all(
        torch.equal(a.tensor, b.tensor) for a, b in zip(one.edits, other.edits, strict=True)
    )


def _hooks(model: Any) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )
