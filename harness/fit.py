"""A task's train split -> a steering vector, kept by content so that nothing is fitted twice."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steering import SteeringMethod, SteeringVector, get

if TYPE_CHECKING:
    from steering import Examples


@dataclass(frozen=True)
class Fitted:
    """A vector and what it cost: seconds of the fit that made it, however often it is reused."""

    vector: SteeringVector
    seconds: float


@dataclass
class Fitter:
    """Fits vectors on one loaded model.

    Attributes:
        model: The causal language model.
        tokenizer: Its tokenizer.
        model_hash: Identity of the weights, part of a vector's key.
        folder: Where fitted vectors are kept between runs; None keeps them in memory only.
    """

    model: Any
    tokenizer: Any
    model_hash: str
    folder: Path | None = None
    _known: dict[str, Fitted] = field(default_factory=dict)

    def fit(self, method: str, settings: dict[str, Any], examples: Examples) -> Fitted:
        """The vector of a method with some settings on some examples."""
        made = get(method).from_settings(settings)
        key = self._key(made, examples)
        if key not in self._known:
            self._known[key] = self._load(key) or self._make(key, made, examples)
        return self._known[key]

    def _key(self, method: SteeringMethod, examples: Examples) -> str:
        identity = [
            method.name, method.version, method.settings(), examples.fingerprint(), self.model_hash,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def _load(self, key: str) -> Fitted | None:
        if self.folder is None or not (self.folder / key / "steering_config.json").exists():
            return None
        vector = SteeringVector.from_pretrained(self.folder / key, model=self.model)
        return Fitted(vector, float(vector.provenance["fit_seconds"]))

    def _make(self, key: str, method: SteeringMethod, examples: Examples) -> Fitted:
        started = time.perf_counter()
        vector = method.fit(self.model, self.tokenizer, examples)
        seconds = time.perf_counter() - started
        vector = vector.with_provenance(fit_seconds=round(seconds, 4))
        if self.folder is not None:
            vector.save_pretrained(self.folder / key)
        return Fitted(vector, seconds)
