"""`--protocol`: what a published protocol sets in place of options."""

from __future__ import annotations

import argparse

from harness.protocols import NAMES, Protocol, named, refuse


def protocol_options(parser: argparse.ArgumentParser) -> None:
    """By which paper's protocol."""
    group = parser.add_argument_group("protocol")
    group.add_argument(
        "--protocol", choices=NAMES,
        help="measure as a paper did: prompts, shots, splits, filter set, heads, layers, "
        "strengths, decoding and metrics (docs/protocols.md); tasks and arms are the paper's "
        "where none are named",
    )  # fmt: skip
    group.add_argument(
        "--as_published", action="store_true",
        help="take the defects of the paper's own code too",
    )  # fmt: skip


def protocol_of(arguments: argparse.Namespace) -> Protocol | None:
    """The protocol that is asked for, if any.

    Raises:
        UsageError: an option beside it that it sets.
    """
    found = named(getattr(arguments, "protocol", None), getattr(arguments, "as_published", False))
    if found is not None:
        refuse(found, vars(arguments))
    return found
