"""Arms beside each other on the same documents: what every table, figure and verdict reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reports.identity import (
    asked_alike,
    differing,
    model_names,
    newest,
    place,
    told_apart,
)
from reports.record import Record, number
from reports.stats import Array, Difference, compare, mean_of_means, standard_error

BASELINE = "zero_shot"
"""The bare question: what costs are compared with, and differences where no frame stands below."""
FRAMES = {"behavior_shift": ("paraphrase",)}
"""Per suite, the promptings that are its baseline where every task has that arm, first to last."""
SUITES = ("precision", "behavior_shift")
"""In the order of the reports; other suites follow."""


class NotCompared(ValueError):
    """A comparison that the records do not allow."""


@dataclass(frozen=True)
class Cell:
    """An arm's value on one task, or its mean over a suite's tasks.

    Attributes:
        value: Mean over documents, fits and tasks; NaN if one of them is.
        stderr: Its standard error over documents.
        n: Documents.
        seeds: Fits that were averaged.
        higher_is_better: The metric's direction.
    """

    value: float
    stderr: float
    n: int
    seeds: int
    higher_is_better: bool


class Comparison:
    """The records of one model.

    Args:
        records: Finished records of one model, asked in one way; of two versions of the same
            measurement (an edited method, a changed task) the newer one counts.
        name: Of the model, where its own would not tell it from others.

    Attributes:
        records: What arms reach on the tasks that their vectors are made for.
        side_records: What they do to other tasks (`reports.side`).
    """

    def __init__(self, records: Iterable[Record], name: str | None = None) -> None:
        every = list(records)
        if not every:
            raise NotCompared("no records; run `steergauge compare` with this --output_path first")
        if len({record.spec["model_hash"] for record in every}) > 1:
            raise NotCompared("records of several models; compare them one model at a time")
        if len(alike := asked_alike(every)) > 1:
            ways = " and ".join(way or "the usual way" for way in differing([s for s, _ in alike]))
            raise NotCompared(
                f"records that were asked in several ways: {ways}; compare each alone"
            )
        apart = told_apart(newest(every))
        self.superseded = len(every) - len(apart)
        self.side_records = [record for record in apart if record.spec.get("side")]
        self.records = [record for record in apart if not record.spec.get("side")]
        if not self.records:
            raise NotCompared("records of side tasks alone; measure the tasks of their vectors too")
        self.model = name or self.records[0].model
        self._by_place: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in sorted(self.records, key=lambda r: int(r.spec["seed"])):
            self._by_place[record.spec["task"], record.arm].append(record)
        self._matrices: dict[tuple[str, str, str], Array] = {}

    @cached_property
    def limited(self) -> bool:
        """Whether any record asked only some documents: no result then."""
        return any(record.spec.get("limit") is not None for record in self.records)

    @cached_property
    def suites(self) -> dict[str, list[str]]:
        """Tasks by suite; of headlines that go both ways it is two, as their mean says nothing."""
        found: dict[str, set[str]] = defaultdict(set)
        for record in self.records:
            found[record.spec["suite"]].add(record.spec["task"])
        ordered = sorted(
            found, key=lambda s: (s not in SUITES, SUITES.index(s) if s in SUITES else s)
        )
        return {
            name: tasks for suite in ordered for name, tasks in self._parts(suite, found[suite])
        }

    def _parts(self, suite: str, tasks: Iterable[str]) -> list[tuple[str, list[str]]]:
        parts = {up: [t for t in sorted(tasks) if self.rises([t]) is up] for up in (True, False)}
        both = all(parts.values())
        return [
            (f"{suite} ({'higher' if up else 'lower'} is better)" if both else suite, own)
            for up, own in parts.items()
            if own
        ]

    def rises(self, tasks: Sequence[str], metric: str | None = None) -> bool:
        """Whether a higher value is better on tasks, which all go one way.

        Args:
            tasks: One task, or those of a suite.
            metric: None takes each task's headline metric.
        """
        name = metric or self.headline(tasks[0])
        records = (r for r in self.records if r.spec["task"] == tasks[0] and name in r.metrics)
        return next(records).metrics[name].higher_is_better

    def baseline(self, suite: str) -> str:
        """The arm that a suite's differences are taken from, by the arms that are there."""
        tasks = self.suites[suite]
        own = next(r.spec["suite"] for r in self.records if r.spec["task"] == tasks[0])
        frames = (f for f in FRAMES.get(own, ()) if all(self.of(task, f) for task in tasks))
        return next(frames, BASELINE)

    def suite_of(self, task: str) -> str:
        """The suite that a task belongs to."""
        return next(suite for suite, tasks in self.suites.items() if task in tasks)

    def steered(self, suite: str) -> dict[str, str]:
        """The arm of each method in a suite: no control, on the baseline's prompting.

        Returns:
            Method -> arm. Of several the one that bears the method's name; where none is asked
            as the baseline is, one on the bare question.
        """
        found: dict[str, list[tuple[bool, bool, str]]] = defaultdict(list)
        frame, tasks = self.baseline(suite), self.suites[suite]
        for record in self.records:
            arm = record.spec["arm"]
            plain = record.spec["task"] in tasks and arm["method"] and not arm.get("matched")
            if plain and arm["prompting"] in (frame, BASELINE):
                order = (arm["prompting"] != frame, record.arm != arm["method"], record.arm)
                found[arm["method"]].append(order)
        return {method: min(arms)[-1] for method, arms in found.items()}

    @cached_property
    def arms(self) -> list[str]:
        """Arms in the order asked: prompting, methods, controls, combinations."""
        order = {
            record.arm: (
                bool(record.spec["arm"]["method"]),
                "@" in record.arm,
                bool(record.spec["arm"].get("matched")),
            )
            for record in self.records
        }
        rank = {arm: place for place, arm in enumerate(PROMPT_ORDER)}
        return sorted(order, key=lambda arm: (order[arm], rank.get(arm, len(rank)), arm))

    def of(self, task: str, arm: str) -> list[Record]:
        """The records of an arm on a task, by seed; empty if it was not measured."""
        return self._by_place.get((task, arm), [])

    def headline(self, task: str) -> str:
        """The metric that a task is ranked by."""
        return next(record.headline for record in self.records if record.spec["task"] == task)

    def metrics(self, task: str) -> list[str]:
        """Names of a task's metrics, the headline first."""
        names = {name for r in self.records if r.spec["task"] == task for name in r.metrics}
        headline = self.headline(task)
        return [headline, *sorted(names - {headline})]

    def cell(self, arm: str, tasks: Sequence[str], metric: str | None = None) -> Cell | None:
        """An arm's value over some tasks; None if one of them was not measured.

        Args:
            arm: Name of the arm.
            tasks: One task, or all those of a suite.
            metric: None takes each task's headline metric.
        """
        groups, values, seeds, higher = [], [], 0, True
        for task in tasks:
            records = self.of(task, arm)
            name = metric or self.headline(task)
            if not records or any(name not in record.metrics for record in records):
                return None
            values.append(np.mean([record.metrics[name].value for record in records]))
            groups.append(self.documents(task, arm, name).mean(axis=0))
            seeds, higher = len(records), records[0].metrics[name].higher_is_better
        value, error = values @ self.weights(tasks), standard_error(self.strata(tasks, groups))
        return Cell(float(value), error, sum(map(len, groups)), seeds, higher)

    def _by_size(self, tasks: Sequence[str]) -> bool:
        """Whether tasks belong to a group that lm-eval weighs by their documents."""
        return all(r.provenance.get("by_size") for r in self.records if r.spec["task"] in tasks)

    def weights(self, tasks: Sequence[str]) -> Array:
        """What part each task has in the mean over some (t,), their sum 1."""
        sizes = [next(len(r.samples) for r in self.records if r.spec["task"] == t) for t in tasks]
        parts: Array = np.array(sizes if self._by_size(tasks) else [1] * len(tasks), np.float64)
        return np.asarray(parts / parts.sum())

    def strata(self, tasks: Sequence[str], groups: list[Array]) -> list[Array]:
        """Per-document values as they are averaged: task by task, or all of them at once."""
        return [np.concatenate(groups)] if self._by_size(tasks) else groups

    def documents(self, task: str, arm: str, metric: str) -> Array:
        """A metric per fit and document (seeds, n), documents in the order of their ids."""
        key = (task, arm, metric)
        if key not in self._matrices:
            records = self.of(task, arm)
            if not records:
                raise NotCompared(f"{task}: no record of arm {arm!r}")
            self.require_same_documents(task, arm, arm)
            rows = [sorted(record.samples, key=lambda s: int(s["doc_id"])) for record in records]
            self._matrices[key] = np.array(
                [[number(sample.get(metric)) for sample in row] for row in rows], dtype=np.float64
            )
        return self._matrices[key]

    def difference(
        self,
        arm: str,
        against: str | None = None,
        metric: str | None = None,
        *,
        tasks: Sequence[str] | None = None,
    ) -> Difference:
        """How much higher an arm's metric is than another's, document by document.

        Args:
            arm: Name of the arm.
            against: The arm that is subtracted; None takes the baseline of each task's suite.
            metric: None takes each task's headline metric.
            tasks: None takes every task that has both arms.

        Raises:
            NotCompared: arms that were not measured, or that answered other documents.
        """
        others = {
            task: against or self.baseline(suite)
            for suite, members in self.suites.items()
            for task in members
        }
        both = [t for t, other in others.items() if self.of(t, arm) and self.of(t, other)]
        chosen = list(tasks) if tasks is not None else both
        if not chosen:
            raise NotCompared(
                f"no task has both {arm!r} and {against or 'its baseline'!r}; measured arms: "
                f"{', '.join(self.arms)}"
            )
        groups, binary = [], True
        for task in chosen:
            name, other = metric or self.headline(task), others[task]
            self.require_same_documents(task, arm, other)
            mine, theirs = self.documents(task, arm, name), self.documents(task, other, name)
            binary &= len(mine) == len(theirs) == 1 and bool(
                np.isin([*mine[0], *theirs[0]], (0, 1)).all()
            )
            groups.append(mine.mean(axis=0) - theirs.mean(axis=0))
        return compare(self.strata(chosen, groups), binary=binary and len(groups) == 1)

    def require_same_documents(self, task: str, arm: str, against: str) -> None:
        """Raise NotCompared where two arms, or the seeds of one, answered different documents."""
        hashes = {
            tuple(sorted((int(s["doc_id"]), s["doc_hash"]) for s in record.samples))
            for name in (arm, against)
            for record in self.of(task, name)
        }
        if len(hashes) > 1:
            who = f"{arm!r} and {against!r}" if arm != against else f"the seeds of {arm!r}"
            raise NotCompared(
                f"{task}: {who} answered different documents; measure them with the same task "
                "files and the same --limit"
            )

    def mean(self, arm: str, tasks: Sequence[str], metric: str | None = None) -> float:
        """Mean of per-document values over some tasks."""
        groups = [self.documents(t, arm, metric or self.headline(t)).mean(axis=0) for t in tasks]
        return mean_of_means(self.strata(tasks, groups))


PROMPT_ORDER = (BASELINE, "paraphrase", "instruction", "few_shot", "shuffled_few_shot", "fv", "icv")


def by_model(records: Iterable[Record]) -> list[Comparison]:
    """One comparison per model and way of asking it, such as with another `limit`."""
    every = list(records)
    if not every:
        raise NotCompared("no records; run `steergauge compare` with this --output_path first")
    names, groups = model_names(every), asked_alike(every)
    titles = [names[place(group[0])] for _, group in groups]
    return [
        Comparison(group, title)
        for (_, group), title in zip(groups, _apart(groups, titles), strict=True)
    ]


def _apart(
    groups: Sequence[tuple[Mapping[str, Any], list[Record]]], titles: Sequence[str]
) -> list[str]:
    """Titles, those that several groups share with what tells the groups apart."""
    found = list(titles)
    for title in set(titles):
        places = [i for i, each in enumerate(titles) if each == title]
        for i, way in zip(places, differing([groups[i][0] for i in places]), strict=True):
            found[i] = f"{title} ({way})" if way else title
    return found
