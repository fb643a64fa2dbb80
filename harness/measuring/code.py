"""The source of what makes a number: an edited file makes nothing that the old one made count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steering import get
from task_defs import code
from task_defs.behavior_shift.utils import judges

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask


def source_of(method: str) -> str:
    """Names the source of a method's file and of what it imports beside it."""
    return code.code_of(get(method))


def code_of(*methods: str) -> str | None:
    """12 hex digits over the files of methods; None for none."""
    if not methods:
        return None
    digest = hashlib.sha256()
    for name in methods:
        digest.update(f"{name} {get(name).version} {source_of(name)}".encode())
    return digest.hexdigest()[:12]


def folders(metadata: Mapping[str, Any]) -> list[Any]:
    """What the folders hold that a task's judges and encoder lie in; hub ids are no folders.

    Args:
        metadata: A task's.
    """
    further = [judges.named(each)[0] for each in metadata.get("further_judges", ())]
    asked = [metadata.get("classifier"), metadata.get("encoder"), *further]
    found: list[Any] = []
    for place in sorted({str(each) for each in asked if each and Path(str(each)).is_dir()}):
        files = sorted(each for each in Path(place).rglob("*") if each.is_file())
        found += [[str(file.relative_to(place)), code.content_of(file)] for file in files]
    return found


MOST_HASHED = 100_000
"""Documents of a split that name it by content; of a larger one, that many at even distances."""


def contents(task: ConfigurableTask) -> dict[str, str]:
    """What each split that a task uses holds, before the task changes its documents."""
    config, held = task.config, getattr(task, "dataset", None) or {}
    splits = (config.training_split, config.validation_split, config.test_split,
              config.fewshot_split)  # fmt: skip
    found = {}
    for split in dict.fromkeys(each for each in splits if each and each in held):
        documents, digest = held[split], hashlib.sha256()
        step = -(-len(documents) // MOST_HASHED) or 1
        for place in range(0, len(documents), step):
            digest.update(json.dumps(documents[place], sort_keys=True, default=str).encode())
        found[split] = f"{len(documents)} {digest.hexdigest()}"
    return found
