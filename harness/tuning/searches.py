"""Searches kept by what was searched, in memory and on disk: an interrupted run loses none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.measuring.code import code_of
from harness.measuring.spec import Arm
from harness.tuning.search import Search
from reports.files import write_atomically
from reports.record import dump

if TYPE_CHECKING:
    from harness.measuring.spec import RunSpec


class Searches:
    """Every search of a session.

    Args:
        folder: Where they are kept; None keeps them in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known: dict[str, Search] = {}

    def recall(self, spec: RunSpec, search: Callable[[], Search]) -> Search:
        """The search that a measurement needs, made once.

        Args:
            spec: The measurement. Controls and promptings on top do not change its search.
            search: Makes it.
        """
        key = self._key(spec)
        if key not in self._known:
            self._known[key] = self._load(key) or self._keep(key, search())
        return self._known[key]

    def _key(self, spec: RunSpec) -> str:
        """12 hex digits over everything that could change the search."""
        method = str(spec.arm.tuned)
        own = replace(spec, arm=Arm(method, method=method), shots=0, method_code=code_of(method))
        return own.run_id

    def _path(self, key: str) -> Path | None:
        return self.folder and self.folder / f"{key}.json"

    def _load(self, key: str) -> Search | None:
        path = self._path(key)
        if path is None or not path.exists():
            return None
        try:
            return Search.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # damaged: made anew

    def _keep(self, key: str, found: Search) -> Search:
        path = self._path(key)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, dump(found.as_json()) + "\n")
        return found
