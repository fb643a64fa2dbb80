"""Records in the layout of lm-eval's own results, for tools that read those.

    <model>__<arm>/results_<date>.json            lm-eval's block of every task
    <model>__<arm>/samples_<task>_<date>.jsonl    its documents

An arm of a model is a model there; of several seeds each is one of its own. Prompts are not part of
a record: where lm-eval has them stands the document's input.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reports.files import write_atomically
from reports.foreign import printable
from reports.identity import model_names, place
from reports.record import Record, dump

UNSAFE = re.compile(r"[\"<>:/|\\?*\[\]]+")
"""What lm-eval replaces in names of models by two underscores."""

LONGEST = 200
"""Characters of a name."""

KNOWN = ("doc_id", "doc_hash", "input", "target", "output", "seen", "templates")
"""Keys of a sample that are no metrics."""


def export(records: Iterable[Record], out: Path) -> list[Path]:
    """Write every arm of every model into a folder of its own.

    What a vector does to side tasks stands in a folder for the task that it was made for.

    Args:
        records: Finished records.
        out: Where the folders go.

    Returns:
        The results files.

    Raises:
        OSError: they cannot be written.
    """
    every = list(records)
    names = model_names(every)
    arms: dict[str, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in every:
        own = f" of {record.spec['task']} on side tasks" if record.spec.get("side") else ""
        arms[f"{names[place(record)]}/{record.arm}{own}"][record.spec["seed"]].append(record)
    return [
        _write(f"{name}/seed{seed}" if len(by_seed) > 1 else name, found, out)
        for name, by_seed in arms.items()
        for seed, found in by_seed.items()
    ]


def _write(name: str, records: Sequence[Record], out: Path) -> Path:
    """One arm's tasks, as one run of lm-eval."""
    last = max(records, key=lambda record: str(record.provenance.get("date")))
    moment = _moment(last)
    date = moment.isoformat(timespec="microseconds").replace(":", "-")
    folder = out / _safe(name)
    folder.mkdir(parents=True, exist_ok=True)
    by_task = {record.asked: record for record in records}
    versions = last.provenance.get("versions") or {}
    content = {
        "results": {task: _block(record) for task, record in by_task.items()},
        "group_subtasks": {},
        "configs": {
            task: {"task": task, "metadata": {"suite": r.spec["suite"]}}
            for task, r in by_task.items()
        },
        "versions": {task: record.spec.get("task_hash") for task, record in by_task.items()},
        "n-shot": {task: record.spec.get("shots") for task, record in by_task.items()},
        "higher_is_better": {
            task: {metric: found.higher_is_better for metric, found in record.metrics.items()}
            for task, record in by_task.items()
        },
        "n-samples": {
            task: {"original": len(record.samples), "effective": len(record.samples)}
            for task, record in by_task.items()
        },
        "config": {
            "model": last.spec["model"], "model_args": last.spec.get("model_args"),
            "limit": last.spec.get("limit"), "gen_kwargs": last.spec.get("gen_kwargs"),
            "random_seed": last.spec["seed"], "fewshot_seed": last.spec["seed"],
            "arm": last.spec["arm"], "command": last.provenance.get("command"),
        },
        "git_hash": last.provenance.get("commit"), "date": moment.timestamp(),
        "transformers_version": versions.get("transformers"),
        "lm_eval_version": versions.get("lm-eval"),
        "system_instruction": last.spec.get("system_instruction"),
        "fewshot_as_multiturn": last.spec.get("fewshot_as_multiturn"),
        "model_source": last.spec["model"], "model_name": name, "model_name_sanitized": _safe(name),
    }  # fmt: skip
    for task, record in by_task.items():
        lines = "".join(f"{dump(_sample(record, sample))}\n" for sample in record.samples)
        write_atomically(folder / f"samples_{_safe(task)}_{date}.jsonl", lines)
    path = folder / f"results_{date}.json"
    write_atomically(path, dump(content, indent=2) + "\n")
    return path


def _block(record: Record) -> dict[str, Any]:
    """lm-eval's block of a task, with the metrics that came after it."""
    found = {"alias": record.asked, **record.lm_eval}
    known = {key.partition(",")[0] for key in found}
    for name, metric in record.metrics.items():
        if name not in known:
            found[f"{name},none"] = metric.value
            found[f"{name}_stderr,none"] = "N/A" if metric.stderr is None else metric.stderr
    return found


def _sample(record: Record, sample: dict[str, Any]) -> dict[str, Any]:
    """A document as lm-eval logs it."""
    output = sample.get("output")
    metrics = {key: value for key, value in sample.items() if key not in KNOWN}
    return {
        "doc_id": sample["doc_id"], "doc": {"input": sample.get("input")},
        "target": str(sample.get("target")),
        "arguments": {"gen_args_0": {"arg_0": sample.get("input")}},
        "resps": [] if output is None else [[output]],
        "filtered_resps": [] if output is None else [output], "filter": "none",
        "metrics": list(metrics), "doc_hash": sample["doc_hash"], **metrics,
    }  # fmt: skip


def _moment(record: Record) -> datetime.datetime:
    """When a record was measured; the beginning of time where it does not say."""
    try:
        found = datetime.datetime.fromisoformat(str(record.provenance.get("date")))
    except ValueError:
        return datetime.datetime(1970, 1, 1)
    return found.replace(tzinfo=None)


def _safe(name: str) -> str:
    return UNSAFE.sub("__", printable(name))[:LONGEST]
