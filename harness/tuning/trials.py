"""How a search measures its configurations on the validation split.

Where a task scores given answers, the vectors of a batch go through one sweep; where it generates,
one after the other. A setting that breaks the model is a result, not a failure: what a
fit or a measurement raises as a ValueError is kept as the reason why there is no score.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UsageError, UserCodeFailed
from harness.lm.scoring import Scored
from harness.measuring.measurement import Measurement
from harness.measuring.spec import Arm
from harness.tuning.asking import Settings
from harness.tuning.search import Kept, Outcome, Search, search
from steering import SearchSpace, get, resolve
from steering.space import Distribution
from steering.sweep import Swept, sweep
from task_defs.guard import users_code

if TYPE_CHECKING:
    from harness.measuring.measurement import Document
    from harness.measuring.session import Session
    from harness.measuring.spec import RunSpec
    from harness.tuning.fit import Fitter
    from steering import SteeringVector


WATCHED = ("attribute", "content", "fluency")
"""Metrics whose product is the headline of behaviour: what a gain of one costs in another."""


def watched(documents: Sequence[Document]) -> dict[str, float]:
    """The means of the watched metrics that documents have."""
    names = [name for name in WATCHED if documents and name in documents[0]]
    return {name: sum(float(d[name]) for d in documents) / len(documents) for name in names}


BATCH = 24
"""Configurations of one sweep."""


def searched(method: str, model: Any, dose: float | None = None) -> SearchSpace:
    """What is searched: a method's space on a model, without the strength at a given dose.

    Raises:
        UsageError: a dose for a method without a coefficient.
    """
    declare = get(method).search_space
    if declare.__module__.startswith("steering."):
        space = dict(declare(resolve(model).shape))
    else:
        with users_code(f"search_space of {method}", UserCodeFailed):
            space = dict(declare(resolve(model).shape))
        if wrong := [name for name, own in space.items() if not isinstance(own, Distribution)]:
            raise UserCodeFailed(
                f"search_space of {method}: {wrong[0]} is {type(space[wrong[0]]).__name__}, "
                "expected Choice, Integer or Real"
            )
    if dose is not None and space.pop("coefficient", None) is None:
        raise UsageError(f"--dose sets coefficients; {method!r} searches none, leave it out")
    return space


class Trials:
    """One method's configurations on one task.

    Args:
        session: The model and its tasks.
        fitter: Makes the vectors.
        spec: The measurement whose settings are searched.
        method: A registered method.
    """

    def __init__(self, session: Session, fitter: Fitter, spec: RunSpec, method: str) -> None:
        self.session, self.fitter, self.spec, self.method = session, fitter, spec, method
        self.task = session.task(spec, Arm(spec.frame, spec.frame), "tuning")
        self.measurement = Measurement(
            session.lm, self.task, limit=session.limit, wording=session.manner.wording(spec.task),
            ranked=session.ranks(self.task),
        )  # fmt: skip
        self.headline, self.higher_is_better = session.headline(self.task)
        self.examples = session.examples(spec.task)

    def search(self, space: SearchSpace, kept: Kept | None = None) -> Search:
        """Try as many configurations as the budget allows.

        Args:
            space: What is searched.
            kept: Those that an earlier run has measured.
        """
        scored = self.measurement.scored
        found = search(
            space,
            self.swept if scored else self.one_by_one,
            metric=self.headline,
            higher_is_better=self.higher_is_better,
            budget=self.spec.budget,
            seed=self.spec.seed,
            batch=BATCH if scored else 1,
            kept=kept,
        )
        found = replace(found, unfit=self.measurement.unfit)
        return found if scored else replace(found, unsteered=self.unsteered())

    def one_by_one(self, every: list[Settings]) -> Iterator[Outcome]:
        """Ask all documents under one configuration after the other.

        In shared batches the answers of the worst configurations, which never end, would keep
        those of all others waiting: 1.3 to 2 times as long, as measured.
        """
        self.session.lm.sampling_seed = self.spec.seed
        for settings in every:
            started, scores = time.perf_counter(), []
            metrics: dict[str, float] = {}
            settings, vector, error = self._fit(settings)
            if vector is not None:
                try:
                    with self.session.lm.steer(vector):
                        documents = self.measurement.ask()
                    documents = self.session.complete(self.task, documents)
                    scores, metrics = self._scores(documents), watched(documents)
                except ValueError as problem:
                    error = str(problem)
            seconds = time.perf_counter() - started
            yield Outcome(settings, scores, seconds, error, metrics)

    def unsteered(self) -> dict[str, float]:
        """What a search watches beside the headline, without any steering."""
        return watched(self.session.complete(self.task, self.measurement.ask()))

    def swept(self, every: list[Settings]) -> list[Outcome]:
        """Score all documents under all configurations in shared passes."""
        fits = []
        for settings in every:
            started = time.perf_counter()
            fits.append((*self._fit(settings), time.perf_counter() - started))
        vectors = [vector for _, vector, _, _ in fits if vector is not None]
        started = time.perf_counter()
        asked = self.measurement.pairs()
        prompts, answers = [pair.prompt for pair in asked], [pair.answer for pair in asked]
        before = [pair.end - pair.scored for pair in asked]
        given = [pair.own - pair.end for pair in asked]
        model, ranked = self.session.lm.model, self.measurement.ranked
        found = sweep(model, prompts, answers, vectors, before, ranked=ranked) if vectors else []
        share = (time.perf_counter() - started) / max(1, len(vectors))
        outcomes, number = [], 0
        for settings, vector, error, seconds in fits:
            scores: Sequence[float] = ()
            logprob = None
            if vector is not None:
                told, logprob = _told(found, given, number)
                number += 1
                if logprob is None:
                    error = f"logits are not finite at coefficient {vector.coefficient:g}"
                else:
                    scores = self._scores(self.measurement.score(told))
            outcomes.append(Outcome(settings, scores, seconds + share, error, logprob=logprob))
        return outcomes

    def _scores(self, documents: Sequence[Document]) -> list[float]:
        """The headline of each document that has one."""
        return [float(v) for d in documents if (v := d[self.headline]) is not None]

    def _fit(self, settings: Settings) -> tuple[Settings, SteeringVector | None, str | None]:
        """The whole settings and their vector, or the reason why there is none."""
        own = {"seed": self.spec.seed}
        try:
            vector = self.fitter.fit(self.method, {**settings, **own}, self.examples).vector
            if self.spec.dose is not None:
                strength = self.session.gauge.coefficient(vector, self.spec.dose)
                settings = {**settings, "coefficient": strength}
                vector = vector.with_coefficient(strength)
        except ValueError as problem:
            return settings, None, str(problem)
        return settings, vector, None


def _told(
    found: Sequence[Swept], given: Sequence[int], number: int
) -> tuple[list[Scored], float | None]:
    """What one cell of a sweep answers to every document, and how likely that is on average.

    Args:
        found: The sweep, document by document.
        given: How many tokens of each answer a generation finds in its prompt.
        number: Of the cell.

    Returns:
        Answers as lm-eval knows them, and the mean over documents of the mean log-probability of
        the answer's tokens; no answers and None where one of them is not finite.
    """
    own = [each.of(number) for each in found]
    if not all(bool(torch.isfinite(log_probs).all()) for log_probs, _ in own):
        return [], None
    told = []
    for (log_probs, hits), start, each in zip(own, given, found, strict=True):
        rank = 0 if each.ranks is None else int(each.ranks[number, start])
        told.append(Scored((float(log_probs.sum()), bool(hits[start:].all())), rank))
    return told, sum(float(log_probs.mean()) for log_probs, _ in own) / len(own)
