"""How each document answers to a vector's strength, and not only the mean over documents.

The slope of a document is that of the right answer's mean log-probability per token over the
strength, in multiples of the vector's own, by least squares. A mean that rises can hide documents
that are pushed away from their answer (Tan et al. 2024, arXiv:2407.12404).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.measuring.measurement import Measurement
from steering.sweep import sweep

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.lm.adapter import SteeredLM
    from harness.lm.wording import Wording
    from steering import SteeringVector

STRENGTHS = (0.0, 0.5, 1.0)
"""In multiples of the vector's own: not beyond, where some methods have no meaning."""

DOCUMENTS = 32
"""The first of a task; slopes are watched, not what a result is made of."""


@dataclass(frozen=True)
class Response:
    """How documents answer to the strength.

    Attributes:
        strengths: In multiples of the vector's own.
        slopes: Nats per token, one per document; None where an answer has no likelihood, or no
            token, or no room in the model.
    """

    strengths: tuple[float, ...]
    slopes: list[float | None]


def response(
    lm: SteeredLM,
    task: ConfigurableTask,
    vector: SteeringVector,
    *,
    limit: int | None,
    wording: Wording,
) -> Response | None:
    """Score the right answers of a task's first documents at every strength.

    Args:
        lm: The model.
        task: A prompted task.
        vector: At its own coefficient.
        limit: Ask only the first documents.
        wording: How prompts are put to the model.

    Returns:
        None where documents have no one right answer, or none of them fits the model.
    """
    few = DOCUMENTS if limit is None else min(limit, DOCUMENTS)
    measurement = Measurement(lm, task, limit=few, wording=wording)
    if not measurement.one_answer:
        return None
    every, longest = measurement.pairs(), int(lm.max_length)
    pairs = [pair for pair in every if not pair.empty and len(pair.tokens) <= longest]
    if not pairs:
        return None
    vectors = [vector.with_coefficient(vector.coefficient * part) for part in STRENGTHS]
    before = [pair.end - pair.scored for pair in pairs]
    prompts, answers = [pair.prompt for pair in pairs], [pair.answer for pair in pairs]
    found = sweep(lm.model, prompts, answers, vectors, before)
    centred = torch.tensor(STRENGTHS, dtype=torch.float64)
    centred -= centred.mean()
    slopes: dict[int, float] = {}
    for pair, each in zip(pairs, found, strict=True):
        likely = torch.stack([each.of(k)[0].double().mean() for k in range(len(STRENGTHS))])
        slope = float(likely @ centred / centred.square().sum())
        if math.isfinite(slope):
            slopes[id(pair)] = slope
    return Response(STRENGTHS, [slopes.get(id(pair)) for pair in every])
