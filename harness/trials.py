"""How a search measures its configurations on the validation split.

Where a task scores given answers, every configuration's vector goes through one sweep; where it
generates, they share batches. A setting that breaks the model is a result, not a failure: what a
fit or a measurement raises as a ValueError is kept as the reason why there is no score.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch

from harness.errors import UsageError
from harness.measurement import Measurement
from harness.spec import Arm
from harness.tune import Outcome, Search, Settings, search
from steering import get, resolve
from steering.sweep import sweep

if TYPE_CHECKING:
    from harness.run import Session
    from harness.spec import RunSpec
    from steering import SteeringVector


Scores: TypeAlias = "tuple[list[float], str | None]"
"""One value per document, or none and the reason."""


class Trials:
    """One method's configurations on one task.

    Args:
        session: The model and what is shared on it.
        spec: The measurement whose settings are searched.
        method: A registered method.
    """

    def __init__(self, session: Session, spec: RunSpec, method: str) -> None:
        self.session, self.spec, self.method = session, spec, method
        self.task = session.task(spec, Arm("zero_shot"), split="validation")
        self.measurement = Measurement(
            session.lm, self.task, limit=session.limit, chat_template=session.chat_template
        )
        self.headline, self.higher_is_better = session.headline(self.task)
        self.examples = session.examples(spec.task)

    def search(self) -> Search:
        """Try as many configurations as the budget allows.

        Raises:
            UsageError: a dose for a method without a coefficient.
        """
        space = dict(get(self.method).search_space(resolve(self.session.lm.model).n_layers))
        if self.spec.dose is not None and space.pop("coefficient", None) is None:
            raise UsageError(
                f"--dose sets coefficients; {self.method!r} searches none, leave it out"
            )
        return search(
            space,
            self.swept if self.measurement.scored else self.asked,
            metric=self.headline,
            higher_is_better=self.higher_is_better,
            budget=self.spec.budget,
            seed=self.spec.seed,
        )

    def asked(self, every: list[Settings]) -> list[Outcome]:
        """Ask all documents under all configurations in shared batches."""
        try:
            return self._measured(every, self._ask_each)
        except ValueError:  # of one vector: find out which
            return [self._asked_alone(settings) for settings in every]

    def swept(self, every: list[Settings]) -> list[Outcome]:
        """Score all documents under all configurations in shared passes."""
        return self._measured(every, self._sweep)

    def _measured(
        self, every: list[Settings], measure: Callable[[list[SteeringVector]], list[Scores]]
    ) -> list[Outcome]:
        """Fit every configuration, then measure their vectors together."""
        fits = []
        for settings in every:
            started = time.perf_counter()
            fits.append((*self._fit(settings), time.perf_counter() - started))
        vectors = [vector for _, vector, _, _ in fits if vector is not None]
        started = time.perf_counter()
        found = iter(measure(vectors) if vectors else [])
        share = (time.perf_counter() - started) / max(1, len(vectors))
        outcomes = []
        for settings, vector, error, seconds in fits:
            scores, reason = next(found) if vector is not None else ([], error)
            outcomes.append(Outcome(settings, scores, seconds + share, reason))
        return outcomes

    def _ask_each(self, vectors: list[SteeringVector]) -> list[Scores]:
        asked = self.measurement.ask_each(vectors)
        n = len(asked[0])
        whole = self.session.complete(
            self.task, [each for documents in asked for each in documents]
        )
        scores = [float(document[self.headline]) for document in whole]
        return [(scores[i * n : (i + 1) * n], None) for i in range(len(vectors))]

    def _asked_alone(self, settings: Settings) -> Outcome:
        started = time.perf_counter()
        try:
            (outcome,) = self._measured([settings], self._ask_each)
        except ValueError as problem:
            outcome = Outcome(settings, [], time.perf_counter() - started, str(problem))
        return outcome

    def _sweep(self, vectors: list[SteeringVector]) -> list[Scores]:
        prompts, answers = self.measurement.token_ids()
        found = sweep(self.session.lm.model, prompts, answers, vectors)
        results: list[Scores] = []
        for number, vector in enumerate(vectors):
            pairs = [(each.log_probs[number], each.greedy[number]) for each in found]
            if not all(bool(torch.isfinite(log_probs).all()) for log_probs, _ in pairs):
                strength = f"{vector.coefficient:g}"
                results.append(([], f"logits are not finite at coefficient {strength}"))
                continue
            given = [(float(lp.sum()), bool(hits.all())) for lp, hits in pairs]
            documents = self.measurement.score(given)
            results.append(([float(document[self.headline]) for document in documents], None))
        return results

    def _fit(self, settings: Settings) -> tuple[Settings, SteeringVector | None, str | None]:
        """The whole settings and their vector, or the reason why there is none."""
        fitter, own = self.session.fitter, {"seed": self.spec.seed}
        try:
            vector = fitter.fit(self.method, {**settings, **own}, self.examples).vector
            if self.spec.dose is not None:
                strength = self.session.gauge.coefficient(vector, self.spec.dose)
                settings = {**settings, "coefficient": strength}
                vector = vector.with_coefficient(strength)
        except ValueError as problem:
            return settings, None, str(problem)
        return settings, vector, None
