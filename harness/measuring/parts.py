"""Which of a task's documents vectors are fitted on, settings are tuned on, and numbers are of.

A task's own training and validation documents are taken where it has them. Where it lacks one, the
documents that it has are split by a hash of their question, so that equal questions fall together;
what is fitted or tuned on is never counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

Doc = dict[str, Any]

Part: TypeAlias = Literal["tuning", "result", "every"]
"""Which documents are asked: those to tune on, those that count, or all that lm-eval asks."""

FIT_SHARE, TUNING_SHARE = 0.3, 0.2
"""Of documents that must serve for everything."""

MOST_FITTED, MOST_TUNED = 2000, 100
"""More take longer and change no choice; drawn by the same hash."""

MOST_READ = 20_000
"""Documents of one split whose questions are rendered."""


@dataclass(frozen=True)
class Parts:
    """A task's documents by what they are for.

    Attributes:
        fit: What vectors are fitted on.
        tuning: What settings are chosen on.
        result: What counts; None stands for every document that lm-eval asks.
        asked: How many documents count.
        told: How they were come by, for the report; empty where the task says it all itself.
    """

    fit: Sequence[Doc]
    tuning: Sequence[Doc]
    result: Sequence[Doc] | None
    asked: int
    told: str


def parts_of(task: ConfigurableTask) -> Parts:
    """Split a task's documents.

    Args:
        task: Freshly loaded.
    """
    config = task.config
    asked = config.test_split or config.validation_split
    has_train = config.training_split not in (None, asked)
    has_validation = config.validation_split not in (None, asked, config.training_split)
    every = _keyed(task, task.eval_docs)
    if not has_train and not has_validation:
        groups, n = _grouped(every), len(every)
        fit = _take(groups, round(FIT_SHARE * n))
        tuning = _take(groups, round(TUNING_SHARE * n))
        result = _take(groups, n)
        told = (
            f"no training or validation split: {asked} split by hash into {len(fit)} documents to "
            f"fit on, {len(tuning)} to tune on and {len(result)} that count"
        )
        return Parts(fit[:MOST_FITTED], tuning[:MOST_TUNED], result, len(result), told)
    counted = {key for key, _ in every}
    train = _unseen(task, task.training_docs(), counted) if has_train else []
    validation = _unseen(task, task.validation_docs(), counted) if has_validation else []
    if has_train and has_validation:
        fit, tuning, told = _take(train, MOST_FITTED), _take(validation, MOST_TUNED), ""
    else:
        groups, lacking = (train, "validation") if has_train else (validation, "training")
        named = config.training_split if has_train else config.validation_split
        n = sum(map(len, groups))
        tuning = _take(groups, min(MOST_TUNED, round(TUNING_SHARE * n)))
        fit = _take(groups, MOST_FITTED)
        told = (
            f"no {lacking} split: {named} split by hash into {len(fit)} documents to fit on and "
            f"{len(tuning)} to tune on"
        )
    return Parts(fit[:MOST_FITTED], tuning[:MOST_TUNED], None, len(every), told)


Keyed = list[tuple[str, Doc]]


def _keyed(task: ConfigurableTask, documents: Iterable[Doc]) -> Keyed:
    """Documents with what makes two of them the same question, in an order of that alone."""
    found = []
    for document in documents:
        text = task.doc_to_text(document)
        if not isinstance(text, str) or not text.strip():
            text = json.dumps(document, sort_keys=True, default=str)
        found.append((hashlib.sha256(text.encode()).hexdigest(), document))
    return sorted(found, key=lambda each: each[0])


def _grouped(documents: Keyed) -> list[list[Doc]]:
    """Equal questions together."""
    groups: dict[str, list[Doc]] = {}
    for key, document in documents:
        groups.setdefault(key, []).append(document)
    return list(groups.values())


def _unseen(task: ConfigurableTask, documents: Sequence[Doc], counted: set[str]) -> list[list[Doc]]:
    """Documents whose question does not count, equal questions together.

    Args:
        task: The task.
        documents: Of one split; of a huge one, documents at even distances.
        counted: Questions that count.
    """
    step = -(-len(documents) // MOST_READ)
    kept = [documents[i] for i in range(0, len(documents), step)] if step > 1 else documents
    return _grouped([each for each in _keyed(task, kept) if each[0] not in counted])


def _take(groups: list[list[Doc]], number: int) -> list[Doc]:
    """Take away the first groups until there are as many documents."""
    taken: list[Doc] = []
    while groups and len(taken) < number:
        taken += groups.pop(0)
    return taken


def is_of_pairs(task: ConfigurableTask) -> bool:
    """Whether a task is one of pairs, in three splits, as the suites' tasks are."""
    config = task.config
    splits = (config.training_split, config.validation_split, config.test_split)
    more = config.gen_prefix or task.fewshot_cfg.samples
    words = {"input", "output"} <= set(task.features)
    if not words or not all(splits) or len(set(splits)) < 3 or more:
        return False
    return config.doc_to_choice is None or _given(task, task.eval_docs[0])


def _given(task: ConfigurableTask, document: Doc) -> bool:
    """Whether the answer of a document is its only choice."""
    return bool(task.doc_to_choice(document) == [task.doc_to_target(document)])


def own_samples(task: ConfigurableTask) -> bool:
    """Whether a task's demonstrations are written out in it."""
    return task.fewshot_cfg.split is None and task.fewshot_cfg.samples is not None
