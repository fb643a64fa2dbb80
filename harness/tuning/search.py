"""The same budget for every method, spent on the validation split only."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.errors import UsageError
from harness.measuring.spec import BUDGET

Settings = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One configuration and what it reached on the validation split.

    Attributes:
        settings: The searched settings; the others stand at the method's defaults.
        score: Mean headline metric; NaN where the configuration could not be measured.
        seconds: Fitting and measuring.
        error: Why there is no score.
        metrics: What else it reached there, where the headline is a product.
    """

    settings: Settings
    score: float
    seconds: float
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """A method's whole search on one task.

    Attributes:
        space: The values that the method declares for each searched setting.
        budget: Configurations that every method gets.
        metric: The headline metric.
        higher_is_better: Its direction.
        documents: Validation documents asked.
        trials: In the order in which they were tried; the method's defaults first.
        unsteered: The same metrics as a trial's, of the same documents without any steering.
    """

    space: Mapping[str, tuple[Any, ...]]
    budget: int
    metric: str
    higher_is_better: bool
    documents: int
    trials: tuple[Trial, ...]
    unsteered: Mapping[str, float] = field(default_factory=dict)

    @property
    def chosen(self) -> Trial:
        """The best trial, the earliest of equals."""
        scored = [trial for trial in self.trials if not math.isnan(trial.score)]
        if not scored:
            raise UsageError(
                f"none of {len(self.trials)} configurations could be measured; the first one: "
                f"{self.trials[0].error}"
            )
        sign = 1 if self.higher_is_better else -1
        return max(scored, key=lambda trial: sign * trial.score)

    @property
    def seconds(self) -> float:
        """What the search cost."""
        return sum(trial.seconds for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        """Plain data for the record."""
        return {**asdict(self), "chosen": self.chosen.settings, "split": "validation"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Search:
        """Read back what a file holds, where NaN is null."""
        own = {name: value for name, value in content.items() if name not in ("chosen", "split")}
        trials = tuple(
            Trial(**{**trial, "score": math.nan if trial["score"] is None else trial["score"]})
            for trial in own.pop("trials")
        )
        space = {name: tuple(values) for name, values in own.pop("space").items()}
        return cls(space=space, trials=trials, **own)


def configurations(
    space: Mapping[str, tuple[Any, ...]], budget: int, seed: int = 0
) -> list[Settings]:
    """The method's defaults (the first value of every setting), then a seeded draw of the rest.

    Args:
        space: Values by setting.
        budget: Configurations wanted; fewer only where the space holds fewer.
        seed: Seed of the draw.
    """
    if budget < 1:
        raise UsageError(f"--budget {budget}: at least 1 configuration is needed")
    every = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    drawn = random.Random(seed).sample(every[1:], min(budget, len(every)) - 1)
    return [every[0], *drawn]


@dataclass(frozen=True)
class Outcome:
    """What a configuration reached, document by document.

    Attributes:
        settings: The searched settings, and those that follow from them.
        scores: Headline metric of each validation document.
        seconds: Fitting and measuring.
        error: Why there are no scores.
        metrics: Means of other metrics over the same documents.
    """

    settings: Settings
    scores: Sequence[float]
    seconds: float
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def trial(self) -> Trial:
        """The mean over documents."""
        mean = sum(self.scores) / len(self.scores) if self.scores else math.nan
        return Trial(self.settings, mean, round(self.seconds, 4), self.error, self.metrics)


def search(
    space: Mapping[str, tuple[Any, ...]],
    measure: Callable[[list[Settings]], Sequence[Outcome]],
    *,
    metric: str,
    higher_is_better: bool = True,
    budget: int = BUDGET,
    seed: int = 0,
) -> Search:
    """Try configurations and keep every score.

    Args:
        space: The method's search space on this model.
        measure: Configurations -> what each reached on the validation split, in their order.
        metric: Name of the headline metric.
        higher_is_better: Its direction.
        budget: Configurations tried.
        seed: Seed of the draw of configurations.
    """
    outcomes = measure(configurations(space, budget, seed))
    documents = max((len(outcome.scores) for outcome in outcomes), default=0)
    trials = tuple(outcome.trial() for outcome in outcomes)
    return Search(dict(space), budget, metric, higher_is_better, documents, trials)
