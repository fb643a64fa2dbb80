"""Tasks asked through lm-eval's own `evaluate`, those of one kind in one pass."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from lm_eval.evaluator import evaluate

from harness.measuring import jackknife
from harness.measuring.library import asked_together, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lm_eval.api.task import ConfigurableTask

    from harness.lm.adapter import SteeredLM
    from harness.lm.wording import Wording
    from steering import SteeringVector

ALONE = "loglikelihood_rolling"
"""Whole texts: lm-eval does not say whose they are, so tasks of this kind share no pass."""


def prepare(lm: SteeredLM, task: ConfigurableTask, *, limit: int | None, wording: Wording) -> None:
    """Render and tokenise a task's prompts once, for every arm that asks it.

    Afterwards lm-eval can ask the task again and again; it finds the same requests, unanswered.
    """
    if "build_all_requests" not in vars(task):
        settings = wording.requests(lm)
        with words_of(task):
            task.build_all_requests(limit=limit, rank=lm.rank, world_size=lm.world_size, **settings)
        for instance in task.instances:
            if instance.request_type == "loglikelihood" and instance.args[0]:
                lm._encode_pair(*instance.args)
    task.build_all_requests = partial(_forget_answers, task)


def _forget_answers(task: ConfigurableTask, **_: Any) -> None:
    for instance in task.instances:
        instance.resps, instance.filtered_resps = [], {}


def shared(tasks: Mapping[str, ConfigurableTask]) -> list[list[str]]:
    """The names of the tasks that share a pass: those of one kind."""
    passes: dict[tuple[str, str], list[str]] = {}
    for name, task in tasks.items():
        kind = task.OUTPUT_TYPE
        passes.setdefault((kind, name if kind == ALONE else ""), []).append(name)
    return list(passes.values())


@dataclass(frozen=True)
class Answers:
    """What lm-eval says of one task.

    Attributes:
        block: Its results block.
        samples: Its samples, one per document and filter.
        seconds: The task's share of its pass, by the number of documents: answering and scoring
            alone, since prompts are rendered for the first arm only, and without the proof.
        proof: That steering did something; None where nothing steered.
        unfit: How many requests there were, and of each kind of misfit
            (`harness.lm.encoding`) how many; empty where all fit the model.
    """

    block: dict[str, Any]
    samples: list[dict[str, Any]]
    seconds: float
    proof: dict[str, float] | None
    unfit: dict[str, int]


def ask(
    lm: SteeredLM,
    tasks: Mapping[str, ConfigurableTask],
    vectors: Mapping[str, SteeringVector],
    *,
    limit: int | None,
    wordings: Mapping[str, Wording],
) -> dict[str, Answers]:
    """Ask every test document of some tasks.

    Args:
        lm: The model.
        tasks: By name.
        vectors: By task; the others are asked unsteered.
        limit: Ask only the first documents of each.
        wordings: How each task's prompts are put to the model.
    """
    found = {}
    for names in shared(tasks):
        own = {name: vectors[name] for name in names if name in vectors}
        for name in names:
            prepare(lm, tasks[name], limit=limit, wording=wordings[name])
        lm.encoding.forget()
        started = time.perf_counter()
        with lm.steer_for(names, own), asked_together(names), jackknife.errors():
            results: Any = evaluate(
                lm,
                {"tasks": {name: tasks[name] for name in names}, "groups": {}, "group_map": {}},
                limit=limit,
                bootstrap_iters=1000,
            )
            proofs = {name: dict(lm.proofs.get(name) or lm.proofs[None]) for name in own}
            seconds = time.perf_counter() - started - lm.proving_seconds
        sizes = {name: len({s["doc_id"] for s in results["samples"][name]}) for name in names}
        for name in names:
            block, samples = results["results"][name], results["samples"][name]
            share = seconds * sizes[name] / sum(sizes.values())
            unfit = lm.encoding.unfit(name)
            found[name] = Answers(block, samples, share, proofs.get(name), unfit)
    return found
