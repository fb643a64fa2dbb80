"""Searches kept by what was searched, in memory and on disk: an interrupted run loses no trial.

A search that runs writes each trial as one line, with a checksum; the same search again asks the
same configurations and measures only those that are missing or damaged. A finished one is a file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from harness.measuring.code import code_of
from harness.measuring.spec import Arm
from harness.tuning.asking import Settings, key_of
from harness.tuning.search import Search, Trial, read_trial
from reports.files import parse, read, write_atomically
from reports.record import dump
from reports.stored import Count, StoredTrial, StoredTuning
from steering.space import to_json

if TYPE_CHECKING:
    from harness.measuring.spec import RunSpec
    from steering import SearchSpace

DAMAGED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What reading a file raises that does not hold what was written."""


class StoredSearch(StoredTuning):
    """A finished search."""

    sha256: str


WHOLE = TypeAdapter(StoredSearch)
LINE = TypeAdapter(tuple[str, str, StoredTrial, Count])
"""A trial: its checksum, its key, itself, and its number of documents."""


class Searches:
    """Every search of a session.

    Args:
        folder: Where they are kept; None keeps them in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known: dict[str, Search] = {}

    def recall(
        self, spec: RunSpec, space: SearchSpace, search: Callable[[KeptTrials | None], Search]
    ) -> Search:
        """The search that a measurement needs, made once.

        Args:
            spec: The measurement. Controls and promptings on top do not change its search.
            space: What is searched.
            search: Makes it, given the trials that are kept while it runs.
        """
        key = self._key(spec, space)
        if key not in self._known:
            self._known[key] = self._load(key) or self._make(key, search)
        return self._known[key]

    def _key(self, spec: RunSpec, space: SearchSpace) -> str:
        """12 hex digits over everything that could change the search."""
        method = str(spec.arm.tuned)
        own = replace(
            spec, arm=Arm(method, method=method), shots=0, method_code=code_of(method),
            side=None, side_hash=None, templates=(),
        )  # fmt: skip
        return _digest([own.run_id, {name: to_json(each) for name, each in space.items()}])[:12]

    def _load(self, key: str) -> Search | None:
        if self.folder is None or not os.path.lexists(path := self.folder / f"{key}.json"):
            return None
        try:
            content = _checked(read(path), WHOLE)
            if content.pop("sha256") != _digest(content):
                return None
            found = Search.from_json(content)
            return found if json.loads(dump(found.as_json())) == content else None
        except DAMAGED:
            return None  # made anew, of the trials that are whole

    def _make(self, key: str, search: Callable[[KeptTrials | None], Search]) -> Search:
        if self.folder is None:
            return search(None)
        self.folder.mkdir(parents=True, exist_ok=True)
        running = KeptTrials(self.folder / f"{key}.trials.jsonl")
        found = search(running)
        content = json.loads(dump(found.as_json()))
        whole = dump({**content, "sha256": _digest(content)})
        write_atomically(self.folder / f"{key}.json", whole + "\n")
        return found


class KeptTrials:
    """The trials of a search that runs, one line each.

    Args:
        path: The file; lines that are damaged, or were not written to their end, do not count.

    Raises:
        BadFile: no file that lines can be added to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, tuple[Trial, int]] = {}
        for line in read(path).split(b"\n") if os.path.lexists(path) else ():
            try:
                digest, asked, trial, documents = _checked(line, LINE)
                if digest == _digest([asked, trial, documents]):
                    self._known[asked] = read_trial(trial), documents
            except DAMAGED:
                continue

    def get(self, settings: Settings) -> tuple[Trial, int] | None:
        """The trial of a configuration and its number of documents, if it is known."""
        return self._known.get(key_of(settings))

    def add(self, settings: Settings, trial: Trial, documents: int) -> None:
        """Keep one more; what could not be measured is tried again another time."""
        if trial.error is not None:
            return
        content = json.loads(dump([key_of(settings), asdict(trial), documents]))
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" + dump([_digest(content), *content]))  # after a torn line, too
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, str(self.path)) from problem


def _checked(content: bytes, shape: TypeAdapter[Any]) -> Any:
    """Plain data that a schema takes, as it was written: checksums tell 1 from 1.0.

    Raises:
        BadFile: another shape.
    """
    parse(content, shape)
    return json.loads(content)


def _digest(content: Any) -> str:
    """16 hex digits over plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
