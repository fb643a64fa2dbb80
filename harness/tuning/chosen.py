"""The settings and the vector of a steered arm: searched on validation, fitted on train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.measuring.spec import MATCHED
from harness.tuning.fit import Fitted, Fitter
from harness.tuning.search import Search
from harness.tuning.searches import KeptTrials, Searches
from harness.tuning.trials import Trials, searched
from steering import Choice, get, remembering

if TYPE_CHECKING:
    from harness.measuring.session import Session
    from harness.measuring.spec import RunSpec
    from harness.tuning.asking import Settings


class Chosen(NamedTuple):
    """What steers an arm on a task: the vector, the settings that made it, their search if any."""

    fitted: Fitted
    settings: Settings
    search: Search | None


class Tuner:
    """What a session's arms are steered with; nothing is searched or fitted twice.

    Args:
        session: The model and its tasks.
        out: Folder that keeps searches and the vectors that they chose; None keeps them in memory.

    Attributes:
        fitter: Makes vectors.
        searches: Every search so far.
    """

    def __init__(self, session: Session, out: Path | None = None) -> None:
        self.session = session
        model, tokenizer = session.lm.model, session.lm.tokenizer
        self.fitter = Fitter(model, tokenizer, session.model_hash, out and out / "vectors")
        self.searches = Searches(out and out / "searches")

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Fits of a block share what they capture, within the session's bound of memory."""
        with remembering(self.session.max_memory):
            yield

    def search(self, spec: RunSpec) -> Search:
        """Find a method's settings on the validation split, once per task, seed and budget."""
        method = str(spec.arm.tuned)
        space = searched(method, self.session.lm.model, spec.dose)
        if spec.arm.given:
            space = {name: Choice(values) for name, values in spec.arm.given}

        def make(kept: KeptTrials | None) -> Search:
            return Trials(self.session, self.fitter, spec, method).search(space, kept)

        return self.searches.recall(spec, space, make)

    def vector(self, spec: RunSpec) -> Chosen:
        """The vector of a steered arm, with the settings that its search chose or that are its own.

        Raises:
            UsageError: no configuration could be measured.
        """
        found = self.search(spec) if spec.arm.tuned else None
        given = {name: values[0] for name, values in spec.arm.given}
        settings = {**(found.chosen.settings if found else given), "seed": spec.seed}
        if found is None:
            owner = spec.arm.matched or spec.arm.method
            settings = get(str(owner)).from_settings(settings).settings()
        if spec.arm.method in MATCHED:
            settings = {"of": spec.arm.matched, "of_settings": settings, "seed": spec.seed}
        examples = self.session.examples(spec.task)
        fitted = self.fitter.fit(str(spec.arm.method), settings, examples, keep=True)
        return Chosen(fitted, settings, found)
