"""Records as one tidy table: a row per model, suite, task, arm, seed and metric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reports.identity import model_names, place
from reports.record import Record

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model", "suite", "task", "side", "arm", "seed", "metric", "headline", "value", "stderr", "n",
    "higher_is_better", "fit_s", "tune_s", "eval_s", "ms_per_doc", "limit", "run_id",
)  # fmt: skip


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per measurement, sorted; missing values are NaN."""
    import pandas as pd  # half a second that only a table should pay

    every = list(records)
    names = model_names(every)
    rows = [
        {
            "model": names[place(record)],
            "suite": record.spec["suite"],
            "task": record.spec["task"],
            "side": record.spec.get("side") or "",
            "arm": record.arm,
            "seed": record.spec["seed"],
            "metric": name,
            "headline": name == record.headline,
            "value": metric.value,
            "stderr": metric.stderr,
            "n": metric.n,
            "higher_is_better": metric.higher_is_better,
            **{key: record.timings.get(key) for key in ("fit_s", "tune_s", "eval_s", "ms_per_doc")},
            "limit": record.spec.get("limit"),
            "run_id": record.run_id,
        }
        for record in every
        for name, metric in record.metrics.items()
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = ["model", "suite", "task", "side", "arm", "seed", "metric"]
    return table.sort_values(order, ignore_index=True)
