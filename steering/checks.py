"""The contract of a method as named checks, run over the registry by the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from steering.method import Examples, SteeringMethod
from steering.tracing import input_device
from steering.vector import SteeringVector, attached_by_row

Check = tuple[str, bool]
MANY = 20
"""Questions, of which one must be answered otherwise: some operations leave activations alone."""


@torch.no_grad()
def _logits(model: Any, tokenizer: Any, text: str) -> Tensor:
    ids = torch.tensor([tokenizer.encode(text)], device=input_device(model))
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
    yield from _attachment(vector, model, tokenizer, examples)
    yield from _batches(vector, model, tokenizer, examples)
    with tempfile.TemporaryDirectory() as folder:
        vector.save_pretrained(folder)
        loaded = SteeringVector.from_pretrained(folder, model)
    same = _equal(vector, loaded) and loaded.coefficient == vector.coefficient
    yield "save and load agree", same


def _attachment(
    vector: SteeringVector, model: Any, tokenizer: Any, examples: Examples
) -> Iterator[Check]:
    text = examples.prompt((), examples.pairs[0][0])

    def ask() -> Tensor:
        return _logits(model, tokenizer, text)

    plain = ask()
    with vector.attached(model, coefficient=0.0):
        yield "coefficient 0 gives bit-identical logits", torch.equal(ask(), plain)
    every = [examples.prompt((), x) for x, _ in examples.pairs[:MANY]]
    yield "the vector moves the logits", any(_moves(vector, model, tokenizer, t) for t in every)
    yield "leaving restores the logits bit-exactly", torch.equal(ask(), plain)
    with suppress(KeyError), vector.attached(model):
        raise KeyError("on purpose")
    yield "an exception restores the logits bit-exactly", torch.equal(ask(), plain)


def _moves(vector: SteeringVector, model: Any, tokenizer: Any, text: str) -> bool:
    plain = _logits(model, tokenizer, text)
    with vector.attached(model):
        return not torch.equal(_logits(model, tokenizer, text), plain)


def _batches(
    vector: SteeringVector, model: Any, tokenizer: Any, examples: Examples
) -> Iterator[Check]:
    """Rows of different length, padded on either side, with the KV cache and without."""
    texts = [examples.prompt(examples.pairs[:k], examples.pairs[k][0]) for k in range(3)]
    alone = []
    with vector.attached(model):
        alone = [_logits(model, tokenizer, text)[0, -1] for text in texts]
    for side in ("left", "right"):
        ids, mask = _padded([tokenizer.encode(text) for text in texts], side, input_device(model))
        with torch.no_grad(), vector.attached(model):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        last = [int(row.nonzero()[-1]) for row in mask]
        found = [logits[row, token] for row, token in enumerate(last)]
        agree = all(_near(a, b) for a, b in zip(found, alone, strict=True))
        yield f"{side} padding and batch size do not matter", agree
    yield "rows may have vectors of their own", _rowwise(vector, model, tokenizer, texts[0])
    ids, mask = _padded([tokenizer.encode(text) for text in texts], "left", input_device(model))
    written = []
    for cache in (True, False):
        with torch.no_grad(), vector.attached(model):
            written.append(
                model.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=5, do_sample=False,
                    use_cache=cache, pad_token_id=0, eos_token_id=-1,
                )
            )  # fmt: skip
    yield "KV cache on and off agree", torch.equal(*written)


def _rowwise(vector: SteeringVector, model: Any, tokenizer: Any, text: str) -> bool:
    """A batch of one text under no vector, the vector, and the vector at half its strength."""
    vectors = [None, vector, vector.with_coefficient(vector.coefficient / 2)]
    ids = torch.tensor([tokenizer.encode(text)] * len(vectors), device=model.device)
    with torch.no_grad(), attached_by_row(model, vectors):
        found = model(input_ids=ids, use_cache=False).logits
    alone = [_logits(model, tokenizer, text)[0]]
    for own in vectors[1:]:
        with own.attached(model):  # type: ignore[union-attr]
            alone.append(_logits(model, tokenizer, text)[0])
    return all(_near(a, b) for a, b in zip(found, alone, strict=True))


def _padded(rows: list[list[int]], side: str, device: Any) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        empty = [0] * (width - len(row))
        ids.append([*empty, *row] if side == "left" else [*row, *empty])
        mask.append([*empty, *[1] * len(row)] if side == "left" else [*[1] * len(row), *empty])
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _near(one: Tensor, other: Tensor) -> bool:
    allowed = 1e-4 if one.dtype == torch.float32 else 0.1
    return bool(((one - other).abs() <= allowed * (1 + other.abs())).all())


def _equal(one: SteeringVector, other: SteeringVector) -> bool:
    return len(one.edits) == len(other.edits) and all(
        torch.equal(a.tensor, b.tensor)
        and a.parameters.keys() == b.parameters.keys()
        and all(
            torch.equal(torch.as_tensor(a.parameters[k]), torch.as_tensor(b.parameters[k]))
            for k in a.parameters
        )
        for a, b in zip(one.edits, other.edits, strict=True)
    )


def _hooks(model: Any) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )
