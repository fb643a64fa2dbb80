"""A task's train split -> a steering vector, kept by content so that nothing is fitted twice."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserCodeFailed
from harness.measuring.code import source_of
from harness.tuning.untouched import untouched
from steering import BadVector, SteeringMethod, SteeringVector, get
from steering.files import number
from steering.memo import saved_seconds
from steering.store import Stored, check
from task_defs.guard import belongs_to_user, users_code

if TYPE_CHECKING:
    from steering import Examples

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A vector and what it cost.

    Attributes:
        vector: The steering vector.
        seconds: Of the fit that made it, as if it were the only one: reusing the vector, or the
            activations that another fit captured, makes it no cheaper.
    """

    vector: SteeringVector
    seconds: float


@dataclass
class Fitter:
    """Fits vectors on one loaded model.

    Attributes:
        model: The causal language model.
        tokenizer: Its tokenizer.
        model_hash: Identity of the weights, part of a vector's key.
        folder: Where vectors are kept between runs; None keeps them in memory only.
    """

    model: Any
    tokenizer: Any
    model_hash: str
    folder: Path | None = None
    _known: dict[str, Fitted] = field(default_factory=dict)
    _damaged: set[str] = field(default_factory=set)

    def fit(
        self, method: str, settings: dict[str, Any], examples: Examples, *, keep: bool = False
    ) -> Fitted:
        """The vector of a method with some settings on some examples.

        Args:
            method: A registered method.
            settings: Its settings; the others stand at their defaults.
            examples: What it is fitted on.
            keep: Save the vector in the folder (a search tries many that nobody needs again).

        Raises:
            ValueError: an unknown method or setting, or examples that cannot be fitted on.
        """
        made = get(method).from_settings(settings)
        key = self._key(made, examples)
        if key not in self._known:
            self._known[key] = self._load(key) or self._make(made, examples)
        fitted = self._known[key]
        if keep and self.folder is not None and (key in self._damaged or not self._saved(key)):
            fitted.vector.save_pretrained(self.folder / key)
            self._damaged.discard(key)
        return fitted

    def _key(self, method: SteeringMethod, examples: Examples) -> str:
        identity = [
            method.name, method.version, source_of(method.name), method.settings(),
            examples.fingerprint(), getattr(examples, "instruction", None), self.model_hash,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def _saved(self, key: str) -> bool:
        return self.folder is not None and (self.folder / key / "steering_config.json").exists()

    def _load(self, key: str) -> Fitted | None:
        """A kept vector; one that is damaged is said and fitted anew, as if it were not there."""
        if self.folder is None or not self._saved(key):
            return None
        try:
            vector = SteeringVector.from_pretrained(self.folder / key, model=self.model)
            seconds = number(vector.provenance.get("fit_seconds"), "fit_seconds")
        except BadVector as problem:
            logger.warning("a kept vector is damaged and is fitted anew: %s", problem)
            self._damaged.add(key)
            return None
        return Fitted(vector, seconds)

    def _make(self, method: SteeringMethod, examples: Examples) -> Fitted:
        started, saved = time.perf_counter(), saved_seconds()
        vector = self._fitted(method, examples)
        seconds = round(time.perf_counter() - started + saved_seconds() - saved, 4)
        return Fitted(vector.with_provenance(fit_seconds=seconds), seconds)

    def _fitted(self, method: SteeringMethod, examples: Examples) -> SteeringVector:
        """Call a method's `fit`; what one from elsewhere raises is a mistake of its author's.

        Raises:
            UserCodeFailed: with the file and the line.
        """
        if type(method).__module__.startswith("steering."):
            return method.fit(self.model, self.tokenizer, examples)
        module = sys.modules.get(type(method).__module__)
        if file := getattr(module, "__file__", None):
            belongs_to_user(Path(file))
        what = f"{method.name}.fit on {examples.name}"
        with untouched(self.model, what, self.tokenizer), users_code(what, UserCodeFailed):
            vector: Any = method.fit(self.model, self.tokenizer, examples)
        if not isinstance(vector, SteeringVector):
            raise UserCodeFailed(
                f"{method.name}.fit returned {type(vector).__name__}, expected a SteeringVector, "
                "such as self.vector(edits, model, examples, coefficient=1.0)"
            )
        try:
            check(Stored(vector.edits, vector.coefficient, vector.unit, vector.provenance))
        except BadVector as problem:
            raise UserCodeFailed(f"{what} returned no sound vector: {problem}") from problem
        return vector
