"""Side-by-side outputs: the same input under every arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.comparison import Comparison
from reports.record import number

PER_TASK = 8


@dataclass(frozen=True)
class Sample:
    """One document.

    Attributes:
        task: The task.
        input: What was asked.
        target: The reference answer.
        outputs: The text of every arm.
        scores: The headline metric of every arm.
    """

    task: str
    input: str
    target: str
    outputs: Mapping[str, str]
    scores: Mapping[str, float]


def samples(comparison: Comparison) -> list[Sample]:
    """The first documents of every task that generates text, of the first seed."""
    found = []
    for tasks in comparison.suites.values():
        for task in tasks:
            found += _of_task(comparison, task)
    return found


def _of_task(comparison: Comparison, task: str) -> list[Sample]:
    arms = {arm: comparison.of(task, arm)[0] for arm in comparison.arms if comparison.of(task, arm)}
    by_arm = {
        arm: {int(sample["doc_id"]): sample for sample in record.samples}
        for arm, record in arms.items()
    }
    first = next(iter(by_arm.values()))
    headline = comparison.headline(task)
    found = []
    for doc_id in sorted(first)[:PER_TASK]:
        answers = {arm: docs[doc_id] for arm, docs in by_arm.items() if doc_id in docs}
        if any(answer.get("output") is None for answer in answers.values()):
            return []
        found.append(
            Sample(
                task=task,
                input=str(first[doc_id].get("input", "")),
                target=str(first[doc_id].get("target", "")),
                outputs={arm: str(answer["output"]) for arm, answer in answers.items()},
                scores={arm: number(answer.get(headline)) for arm, answer in answers.items()},
            )
        )
    return found
