"""Mistakes of the user, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """What was given, what was expected, what to do."""


class ModelChanged(RuntimeError):
    """Code of the user's own changed the loaded model: unlike the others, it ends everything."""


class UserCodeFailed(UsageError):
    """A function of the user's own raised something, or left; the message names file and line."""


def one_line(problem: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    from task_defs.guard import told  # not at the top: `--help` answers at once

    return told(problem) or type(problem).__name__


def seen(text: str) -> str:
    """A text whose control characters are shown, as names of files may hold them, not obeyed."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence, with a space before it, that names the nearest known word; empty without one."""
    near = difflib.get_close_matches(word, list(known), 1, cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""
