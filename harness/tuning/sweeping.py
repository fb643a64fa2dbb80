"""A method on a task over a grid of layers, coefficients and numbers of heads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UsageError
from harness.measuring.measurement import Measurement
from harness.measuring.spec import Arm
from steering import NotFinite, get, resolve
from steering.sweep import grid, sweep

if TYPE_CHECKING:
    from harness.measuring.parts import Part
    from harness.measuring.spec import RunSpec
    from harness.tuning.chosen import Tuner
    from steering import Examples, SteeringVector

HEADS = "top_heads"
"""The setting that `--heads` varies."""

LAYER = "layer"
"""The setting that `--layers` varies, where a method has it."""
OF_ANSWERS = ("acc", "logprob")
"""What shared passes say of a right answer, whatever the task scores."""


@dataclass(frozen=True)
class Swept:
    """A grid's cells.

    Attributes:
        metric: What was asked for.
        higher_is_better: Its direction.
        cells: Per cell `heads`, `layer`, `coefficient`, the metric (and `acc` with `logprob`) and
            n; a layer of None stands for the vector's own layers.
        unfit: As in `Measurement`.
    """

    metric: str
    higher_is_better: bool
    cells: list[dict[str, Any]]
    unfit: Mapping[str, int]


def sweep_task(
    tuner: Tuner,
    spec: RunSpec,
    method: str,
    *,
    settings: dict[str, Any],
    layers: Sequence[int],
    coefficients: Sequence[float],
    heads: Sequence[int],
    split: str,
    metric: str | None = None,
) -> Swept:
    """Score a task's answers in every cell.

    `acc` (share of documents whose whole right answer is the greedy continuation) and `logprob`
    (mean over documents of the mean over the right answer's tokens) come from passes that all
    cells share. The task's own metrics are asked cell by cell.

    Args:
        tuner: The model, its tasks, and what fits vectors.
        spec: The task, its prompting, shots and seed.
        method: A registered method.
        settings: Its settings; those of the grid are replaced.
        layers: 0-based blocks; empty takes all, or the vector's own if it cannot be moved.
        coefficients: Strengths.
        heads: Numbers of heads; empty leaves the setting as it is.
        split: `validation` or `test`.
        metric: `acc`, `logprob` or a metric of the task; None takes `acc` where a document has one
            right answer, else the task's headline.

    Raises:
        UsageError: heads for a method without that setting, a layer out of range, or a metric that
            the task lacks.
    """
    session = tuner.session
    n_layers = resolve(session.lm.model).n_layers
    if heads and not hasattr(get(method), HEADS):
        raise UsageError(f"--heads sets {HEADS}, and {method!r} has no such setting; leave it out")
    wrong = [layer for layer in layers if not 0 <= layer < n_layers]
    if wrong:
        raise UsageError(f"layer {wrong[0]}: the model has layers 0 to {n_layers - 1}")
    places: list[tuple[int | None, int | None, float]] = []
    vectors = []
    for number in heads or (None,):
        own = {**settings, **({HEADS: number} if number is not None else {}), "seed": spec.seed}
        for layer, vector in _placed(tuner, method, own, session.examples(spec.task), layers):
            vectors += [vector.with_coefficient(c) for c in coefficients]
            places += [(number, layer, c) for c in coefficients]
    part: Part = "tuning" if split == "validation" else "result"
    task = session.task(spec, Arm(spec.arm.prompting, spec.arm.prompting), part)
    measurement = Measurement(
        session.lm, task, limit=session.limit, wording=session.manner.wording(spec.task),
        ranked=session.ranks(task),
    )  # fmt: skip
    cells: list[dict[str, Any]] = [
        {"heads": number, "layer": layer, "coefficient": c} for number, layer, c in places
    ]
    if metric not in (None, *OF_ANSWERS) or not measurement.one_answer:
        return _asked(tuner, measurement, vectors, cells)
    found = sweep(session.lm.model, *measurement.token_ids(), vectors)
    acc = torch.stack([each.greedy.all(dim=1).float() for each in found]).mean(dim=0)
    logprob = torch.stack([each.log_probs.mean(dim=1) for each in found]).mean(dim=0)
    for cell, a, s in zip(cells, acc.tolist(), logprob.tolist(), strict=True):
        cell.update(acc=a, logprob=s, n=len(found))
    return Swept(metric or OF_ANSWERS[0], True, cells, measurement.unfit)


def _asked(
    tuner: Tuner, measurement: Measurement, vectors: Sequence[Any], cells: list[dict[str, Any]]
) -> Swept:
    """The task's headline in every cell, one after the other; NaN where a vector breaks it."""
    session = tuner.session
    headline, higher_is_better = session.headline(measurement.task)
    for cell, vector in zip(cells, vectors, strict=True):
        try:
            with session.lm.steer(vector if vector.coefficient != 0 else None):
                documents = session.complete(measurement.task, measurement.ask())
            values = [float(v) for each in documents if (v := each[headline]) is not None]
        except NotFinite:
            values = []
        mean = sum(values) / len(values) if values else math.nan
        cell.update({headline: mean, "n": len(values)})
    return Swept(headline, higher_is_better, cells, measurement.unfit)


def _placed(
    tuner: Tuner, method: str, settings: dict[str, Any], examples: Examples, layers: Sequence[int]
) -> Iterator[tuple[int | None, SteeringVector]]:
    """The vector at every layer: made for it where the method has such a setting, else moved.

    What is read at a layer, or scaled to it, is another vector at another one.
    """
    fit = tuner.fitter.fit
    every = range(resolve(tuner.session.lm.model).n_layers)
    if hasattr(get(method), LAYER):
        for layer in layers or every:
            yield layer, fit(method, {**settings, LAYER: layer}, examples).vector
        return
    vector = fit(method, settings, examples).vector
    chosen = layers or (every if len(vector.edits) == 1 else ())
    yield from zip(chosen or (None,), grid(vector, chosen, (vector.coefficient,)), strict=True)
