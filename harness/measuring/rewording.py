"""The same documents in other words, under the vectors that the task's own words chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.measuring.prompting import reword
from reports.wordings import KEY

if TYPE_CHECKING:
    from harness.measuring.session import Measured, Session
    from harness.measuring.spec import RunSpec
    from steering import SteeringVector


def reworded(
    session: Session,
    specs: Sequence[RunSpec],
    vectors: Mapping[str, SteeringVector],
    measured: Mapping[str, Measured],
) -> dict[str, Measured]:
    """Ask measurements again in each of their other wordings, those of one place in one pass.

    Args:
        session: The model and its tasks.
        specs: Measurements that differ in their task only.
        vectors: By task.
        measured: What they reached in their own words.

    Returns:
        The measurements that have other wordings, every document with its values in them.
    """
    values: dict[str, list[dict[int, float | None]]] = {}
    for place in range(max(len(spec.templates) for spec in specs)):
        tasks, headlines = {}, {}
        for spec in specs:
            if place < len(spec.templates):
                tasks[spec.task] = session.task(spec, spec.arm)
                reword(tasks[spec.task], spec.templates[place])
                headlines[spec.task], _ = session.headline(tasks[spec.task])
        own = {task: vector for task, vector in vectors.items() if task in tasks}
        for task, found in session.measure(tasks, own, specs[0].seed).items():
            column = {d["doc_id"]: d[headlines[task]] for d in found.documents}
            values.setdefault(task, []).append(column)
    return {
        task: replace(
            measured[task],
            documents=[
                {**document, KEY: [column[document["doc_id"]] for column in columns]}
                for document in measured[task].documents
            ],
        )
        for task, columns in values.items()
    }
