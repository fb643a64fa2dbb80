"""The same budget for every method, spent on the validation split only.

A configuration is one value for every searched setting, fitted and scored on all validation
documents. They are counted alike, however cheap some of them are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from harness.errors import UsageError
from harness.measuring.spec import BUDGET
from harness.tuning.asking import Asker, Settings
from steering import Integer, Real, SearchSpace
from steering.space import from_json, to_json

WEIGHT = 1e6
"""How much more the score counts than what decides between equal ones."""

EDGE = 0.05
"""How near to an end of its range, as a share of it, a number is at the edge of its space."""

UNMEASURED = -1e12
"""What a configuration counts as that could not be measured: worse than all others."""


@dataclass(frozen=True)
class Trial:
    """One configuration and what it reached on the validation split.

    Attributes:
        settings: The searched settings; the others stand at the method's defaults.
        score: Mean headline metric; NaN where the configuration could not be measured.
        seconds: Fitting and measuring.
        error: Why there is no score.
        metrics: What else it reached there, where the headline is a product.
        logprob: Mean log-probability of the right answers' tokens, which decides between equal
            scores; None where answers are generated.
    """

    settings: Settings
    score: float
    seconds: float
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    logprob: float | None = None

    def rank(self, higher_is_better: bool) -> float:
        """The score and, where scores are equal, the log-probability, as one number."""
        if math.isnan(self.score):
            return UNMEASURED
        signed = self.score if higher_is_better else -self.score
        return signed * WEIGHT + max(self.logprob or 0.0, -WEIGHT)


@dataclass(frozen=True)
class Search:
    """A method's whole search on one task.

    Attributes:
        space: The distribution that the method declares for each searched setting.
        budget: Configurations that every method gets.
        metric: The headline metric.
        higher_is_better: Its direction.
        documents: Validation documents asked.
        trials: In the order in which they were tried; the method's defaults first.
        unsteered: The same metrics as a trial's, of the same documents without any steering.
        unfit: How many requests they are and, of each kind that does not fit the model (a prompt
            that is cut, an answer without a token), how many; empty where all fit.
    """

    space: SearchSpace
    budget: int
    metric: str
    higher_is_better: bool
    documents: int
    trials: tuple[Trial, ...]
    unsteered: Mapping[str, float] = field(default_factory=dict)
    unfit: Mapping[str, int] = field(default_factory=dict)

    @property
    def chosen(self) -> Trial:
        """The best trial; of equal scores the one that finds right answers likelier.

        Raises:
            UsageError: no configuration could be measured; it says why the first one could not.
        """
        if all(math.isnan(trial.score) for trial in self.trials):
            reason = " ".join(str(self.trials[0].error).split())
            raise UsageError(
                f"none of {len(self.trials)} configurations could be measured; the first one: "
                f"{reason}"
            )
        return max(self.trials, key=lambda trial: trial.rank(self.higher_is_better))

    @property
    def edges(self) -> dict[str, str]:
        """Chosen values at an end of their range, beyond which there may be better ones."""
        found = {}
        for name, value in self.chosen.settings.items():
            own = self.space.get(name)
            if isinstance(own, Integer | Real) and own.low <= value <= own.high > own.low:
                place, margin = _place(own, value), EDGE if isinstance(own, Real) else 0.0
                if not margin < place < 1 - margin:
                    found[name] = "lowest" if place < 0.5 else "highest"
        return found

    @property
    def seconds(self) -> float:
        """What the search cost."""
        return sum(trial.seconds for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        """Plain data for the record."""
        return {
            **asdict(self),
            "space": {name: to_json(own) for name, own in self.space.items()},
            "chosen": self.chosen.settings,
            "edges": self.edges,
            "split": "validation",
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Search:
        """Read back what a file holds, where NaN is null."""
        derived = ("chosen", "edges", "split")
        own = {name: value for name, value in content.items() if name not in derived}
        trials = tuple(read_trial(trial) for trial in own.pop("trials"))
        space = {name: from_json(each) for name, each in own.pop("space").items()}
        return cls(space=space, trials=trials, **own)


def _place(own: Integer | Real, value: float) -> float:
    """Where a value lies between the ends of its range, 0 to 1, on the scale of the draws."""
    if own.log:
        return math.log(value / own.low) / math.log(own.high / own.low)
    return (value - own.low) / (own.high - own.low)


def read_trial(content: Mapping[str, Any]) -> Trial:
    """A trial from plain data, where NaN is null."""
    score = content["score"]
    return Trial(**{**content, "score": math.nan if score is None else float(score)})


@dataclass(frozen=True)
class Outcome:
    """What a configuration reached, document by document.

    Attributes:
        settings: The searched settings, and those that follow from them.
        scores: Headline metric of each validation document.
        seconds: Fitting and measuring.
        error: Why there are no scores.
        metrics: Means of other metrics over the same documents.
        logprob: As in `Trial`.
    """

    settings: Settings
    scores: Sequence[float]
    seconds: float
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    logprob: float | None = None

    def trial(self) -> Trial:
        """The mean over documents."""
        mean = sum(self.scores) / len(self.scores) if self.scores else math.nan
        seconds = round(self.seconds, 4)
        return Trial(self.settings, mean, seconds, self.error, self.metrics, self.logprob)


class Kept(Protocol):
    """What an earlier run of the same search has measured."""

    def get(self, settings: Settings) -> tuple[Trial, int] | None:
        """The trial of a configuration and its number of documents, if it is known."""

    def add(self, settings: Settings, trial: Trial, documents: int) -> None:
        """Keep one more."""


def search(
    space: SearchSpace,
    measure: Callable[[list[Settings]], Iterable[Outcome]],
    *,
    metric: str,
    higher_is_better: bool = True,
    budget: int = BUDGET,
    seed: int = 0,
    batch: int = 1,
    kept: Kept | None = None,
) -> Search:
    """Try configurations and keep every score.

    Args:
        space: The method's search space on this model.
        measure: Configurations -> what each reached on the validation split, in their order.
        metric: Name of the headline metric.
        higher_is_better: Its direction.
        budget: Configurations tried; fewer only where the space holds fewer.
        seed: Seed of the draws.
        batch: Configurations that are measured together.
        kept: Those that need not be measured again. A batch is kept as a whole: the last digits of
            a score depend on what it was measured with.
    """
    if budget < 1:
        raise UsageError(f"--budget {budget}: at least 1 configuration is needed")
    asker = Asker(space, budget, seed)
    trials: list[Trial] = []
    documents = 0
    while asked := asker.ask(min(batch, budget - len(trials))):
        for settings, (trial, number) in zip(asked, _measured(asked, measure, kept), strict=True):
            asker.tell(settings, trial.rank(higher_is_better))
            trials.append(trial)
            documents = max(documents, number)
    return Search(dict(space), budget, metric, higher_is_better, documents, tuple(trials))


def _measured(
    asked: list[Settings], measure: Callable[[list[Settings]], Iterable[Outcome]], kept: Kept | None
) -> Iterator[tuple[Trial, int]]:
    """The trials of a batch with their numbers of documents, each kept as soon as it is there."""
    known = [kept.get(settings) if kept else None for settings in asked]
    whole = [trial for trial in known if trial]
    if len(whole) == len(asked):
        yield from whole
        return
    for settings, outcome in zip(asked, measure(asked), strict=True):
        found = outcome.trial(), len(outcome.scores)
        if kept:
            kept.add(settings, *found)
        yield found
