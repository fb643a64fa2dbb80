"""The source of what makes a number: an edited file makes nothing that the old one made count."""

from __future__ import annotations

import hashlib

from steering import get
from task_defs import code


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
