"""Records as the harness writes them, with values that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reports import Metric, Record

PROMPTINGS = ("zero_shot", "few_shot", "instruction", "shuffled_few_shot")


def record(
    task: str = "antonym",
    arm: str = "zero_shot",
    values: Sequence[float] = (0, 1, 1, 0),
    *,
    suite: str = "precision",
    seed: int = 0,
    metric: str = "acc",
    more: dict[str, Sequence[float]] | None = None,
    outputs: Sequence[str] | None = None,
    tuning: dict[str, Any] | None = None,
    fit: dict[str, Any] | None = None,
    model_hash: str = "m0",
    date: str = "2026-01-01T00:00:00+00:00",
    ms_per_doc: float = 2.0,
    **spec: Any,
) -> Record:
    """One arm on one task; `more` holds further metrics by name."""
    method, _, matched = arm.partition("@")[0].partition(":")
    steered = method not in PROMPTINGS
    columns = {metric: values, **(more or {})}
    n = len(values)
    samples = [
        {
            "doc_id": i, "doc_hash": f"{task}-{i}", "input": f"in {i}", "target": f"out {i}",
            "output": outputs[i] if outputs else None,
            **{name: float(column[i]) for name, column in columns.items()},
        }
        for i in range(n)
    ]  # fmt: skip
    return Record(
        run_id=f"{task}-{arm}-{seed}-{date}".replace("@", "-").replace(":", "-"),
        spec={
            "model": "reference", "model_args": {}, "model_hash": model_hash, "task": task,
            "suite": suite, "seed": seed, "shots": 0, "budget": 24 if steered else 0, "limit": None,
            "arm": {
                "name": arm, "prompting": "zero_shot" if steered else arm,
                "method": method if steered else None, "matched": matched or None,
            },
            **spec,
        },
        metrics={
            name: Metric(
                float(np.mean(column)),
                float(np.std(column, ddof=1) / n**0.5) if n > 1 else None,
                n,
                True,
            )
            for name, column in columns.items()
        },
        headline=metric,
        samples=samples,
        fit=fit,
        tuning=tuning,
        proof={"calls": 3, "max_logit_change": 1.0} if steered else None,
        timings={
            "fit_s": 0.5 if steered else None, "tune_s": 3.0 if steered else None,
            "eval_s": ms_per_doc * n / 1000, "ms_per_doc": ms_per_doc,
            "rounds": {
                "documents": 4, "own_s": [0.004 * ms_per_doc] * 6,
                "plain_s": None if arm == "zero_shot" else [0.008] * 6,
            },
            "peak_memory_bytes": 2**30,
        },
        provenance={"date": date, "versions": {"torch": "2"}, "commit": "abc", "dirty": False},
        lm_eval={},
    )  # fmt: skip


def comparison_records(n: int = 40, seed: int = 0) -> list[Record]:
    """Two suites, all kinds of arms, with outputs, tuning and head effects."""
    rng = np.random.default_rng(seed)
    rates = {
        "zero_shot": 0.1, "few_shot": 0.9, "fv": 0.8, "icv": 0.3, "random_vector:fv": 0.15,
        "random_vector:icv": 0.1,
    }  # fmt: skip
    found = []
    for arm, rate in rates.items():
        own = {}
        if arm in ("fv", "icv"):
            trials = [
                {"settings": {"layer": la, "coefficient": c}, "score": rate - c / 10 + la / 50,
                 "seconds": 0.1, "error": None}
                for la in range(3) for c in (0.5, 1.0)
            ]  # fmt: skip
            own["tuning"] = {
                "trials": trials, "chosen": trials[0]["settings"], "higher_is_better": True,
                "budget": 24, "documents": 20, "metric": "acc", "split": "validation",
            }  # fmt: skip
            facts = {"heads": [[0, 1], [2, 3]], "effects": rng.normal(size=(3, 4)).tolist()}
            own["fit"] = {"provenance": facts if arm == "fv" else {}, "bytes": 512, "norm": 2.0}
        for task in ("antonym", "present-past"):
            found.append(record(task, arm, (rng.random(n) < rate).astype(float), **own))
        attribute = (rng.random(n) < rate).astype(float)
        content, fluency = rng.random(n), (rng.random(n) < 0.9).astype(float)
        found.append(
            record(
                "formality", arm, attribute * content * fluency, suite="behavior_shift",
                metric="joint", outputs=[f"{arm} <b>{i}</b>" for i in range(n)],
                more={"attribute": attribute, "content": content, "fluency": fluency}, **own,
            )
        )  # fmt: skip
    return found


def side_records(n: int = 40, seed: int = 1) -> list[Record]:
    """What fv and icv of two tasks do to two tasks that they were not made for."""
    rng = np.random.default_rng(seed)
    plain = {"questions": (rng.random(n) < 0.5).astype(float), "pages": 20 + 5 * rng.random(n)}
    metrics = {"questions": "acc", "pages": "word_perplexity"}
    found = [
        _side(side, "zero_shot", side, values, metrics[side]) for side, values in plain.items()
    ]
    for method, worse in {"fv": 0.02, "icv": 0.3}.items():
        for task in ("antonym", "present-past"):
            lost = plain["questions"] * (rng.random(n) > worse)
            fit = {"bytes": 512, "norm": 2.0, "dose": {
                "kl": worse, "shift": 0.1, "perplexity_ratio": 1 + worse}}  # fmt: skip
            found.append(_side(task, method, "questions", lost, "acc", fit))
            pages = plain["pages"] * (1 + worse) + rng.random(n)
            found.append(_side(task, method, "pages", pages, "word_perplexity", fit))
    return found


def _side(
    task: str, arm: str, side: str, values: Any, metric: str, fit: dict[str, Any] | None = None
) -> Record:
    suite = "precision" if task != side else side
    one = record(task, arm, values, suite=suite, metric=metric, fit=fit, side=side, side_hash="s0")
    samples = [{**each, "doc_hash": f"{side}-{each['doc_id']}"} for each in one.samples]
    higher = {name: replace(each, higher_is_better=metric == "acc")
              for name, each in one.metrics.items()}  # fmt: skip
    return replace(one, run_id=f"{one.run_id}-{side}", samples=samples, metrics=higher)
