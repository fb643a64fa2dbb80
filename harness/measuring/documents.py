"""Documents and metrics as lm-eval's samples and results give them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.utils import handle_non_serializable

from harness.measuring import scores
from harness.measuring.examples import shown
from harness.measuring.first_token import first_token
from harness.measuring.library import words_of
from harness.measuring.measurement import Document
from reports import Metric

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask


def mean(values: Sequence[float], higher_is_better: bool = True) -> Metric:
    """The mean of per-document values and its standard error (sample standard deviation)."""
    n = len(values)
    if n == 0:
        return Metric(math.nan, None, 0, higher_is_better)
    middle = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (n - 1)) if n > 1 else None
    error = None if spread is None else spread / math.sqrt(n)
    return Metric(middle, error, n, higher_is_better)


def documents_of(
    task: ConfigurableTask, samples: Sequence[dict[str, Any]], ranked: bool
) -> list[Document]:
    """lm-eval's samples, each document once, without what the task's file already says."""
    rows = [(s["doc_id"], s["filter"], {name: s[name] for name in s["metrics"]}) for s in samples]
    merged = scores.merged(task, rows)
    first = {sample["doc_id"]: sample for sample in reversed(samples)}
    with words_of(task):
        values = scores.numbers(task, list(merged.values()))
    return [
        {
            **_document(task, first[place], metrics),
            **(first_token(first[place]["resps"][0][0]) if ranked else {}),
        }
        for place, metrics in zip(merged, values, strict=True)
    ]


def _document(
    task: ConfigurableTask, sample: dict[str, Any], metrics: dict[str, float | None]
) -> Document:
    answer = sample["resps"][0][0]
    return {
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "input": shown(task, sample["doc"]),
        "target": str(sample["target"]).strip(),
        "output": answer if isinstance(answer, str) else None,
        **metrics,
    }


def plain(block: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's results block as plain JSON values."""
    return {
        key: value
        if isinstance(value, str | int | float | list | dict | None)
        else handle_non_serializable(value)
        for key, value in block.items()
    }
