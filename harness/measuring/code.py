"""The source of what makes a number: an edited file makes nothing that the old one made count."""

from __future__ import annotations

import hashlib
import inspect

from steering import get


def source_of(method: str) -> str:
    """The source of a method's file: after an edit nothing that the old file made counts."""
    found = get(method)
    return inspect.getsource(inspect.getmodule(found) or found)


def code_of(*methods: str) -> str | None:
    """12 hex digits over the files of methods; None for none."""
    if not methods:
        return None
    digest = hashlib.sha256()
    for name in methods:
        digest.update(f"{name} {get(name).version} {source_of(name)}".encode())
    return digest.hexdigest()[:12]
