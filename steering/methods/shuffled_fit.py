"""A control: another method, fitted on labels that say nothing.

The texts are the same. In contrasts the labels desired and undesired are permuted within each
question; in demonstrations and targets the answers are permuted among the pairs. What such a
vector still does, its method does without having learned the task.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from steering.method import Examples, SteeringMethod, get, register
from steering.space import SearchSpace, Shape
from steering.vector import SteeringVector


class Mislabelled:
    """Examples whose answers are permuted, and whose contrasts are mixed (`contrast.contrasted`).

    Args:
        examples: The true ones.
        seed: Seed of the permutation.
    """

    def __init__(self, examples: Examples, seed: int) -> None:
        self._examples, self.labels_seed = examples, seed
        labels = [y for _, y in examples.pairs]
        random.Random(f"labels {seed}").shuffle(labels)
        self.pairs = tuple((x, y) for (x, _), y in zip(examples.pairs, labels, strict=True))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the true examples' own."""
        return getattr(self._examples, name)

    def fingerprint(self) -> str:
        """Another identity than the true examples'."""
        return f"{self._examples.fingerprint()} labels {self.labels_seed}"


@register
@dataclass(frozen=True, kw_only=True)
class ShuffledFit(SteeringMethod):
    """Settings.

    Attributes:
        of: The method that is matched.
        of_settings: Its settings.
    """

    name: ClassVar[str] = "shuffled_fit"
    summary: ClassVar[str] = "control: another method fitted on shuffled labels"
    control: ClassVar[bool] = True

    of: str = "icv"
    of_settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        """Nothing: a control takes the settings of the method it is matched to."""
        return {}

    def fit(self, model: Any, tokenizer: Any, examples: Examples) -> SteeringVector:
        """Fit the method on the same texts under permuted labels."""
        method = get(self.of).from_settings(self.of_settings)
        mislabelled = cast(Examples, Mislabelled(examples, self.seed))
        vector = method.fit(model, tokenizer, mislabelled)
        return vector.with_provenance(
            method=self.name, method_version=self.version, settings=self.settings()
        )
