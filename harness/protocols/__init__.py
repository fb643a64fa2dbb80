"""Published protocols by name: every setting of a paper, with its source, as data; a file each."""

from __future__ import annotations

from importlib import import_module

from harness.errors import UsageError
from harness.protocols.protocol import Part, Protocol, Said, changed, refuse

__all__ = ["NAMES", "Part", "Protocol", "Said", "changed", "named", "refuse"]

NAMES = ("fv-paper", "icv-paper", "comparison-paper")
"""On the command line; `fv_paper.py` holds the first."""


def named(name: str | None, as_published: bool = False) -> Protocol | None:
    """A protocol by name; None where none is asked for.

    Args:
        name: On the command line.
        as_published: Take the defects of the paper's own code too.

    Raises:
        UsageError: an unknown name, or `as_published` without one.
    """
    if name is None:
        if as_published:
            raise UsageError("--as_published needs --protocol: it is about a paper's own code")
        return None
    if name not in NAMES:
        raise UsageError(f"no protocol named {name!r}. Protocols: {', '.join(NAMES)}")
    file = import_module(f"harness.protocols.{name.replace('-', '_')}")
    found: Protocol = file.PROTOCOL
    return found.published() if as_published else found
