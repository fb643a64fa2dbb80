"""Text of others (names, a model's outputs, settings) in the languages of our files, as text.

Nothing of it is markup, a formula, a column's end or a line's end there.
"""

from __future__ import annotations

import re
from typing import Any

UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, ends of lines, signs that turn the writing's direction, and no characters."""

MARKDOWN = re.compile(r"[\\`*\[\]<>|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What would begin markup; an underscore inside a word does not."""

FORMULA = ("=", "+", "-", "@")


def printable(text: str) -> str:
    """One line that shows control characters instead of obeying them."""
    return UNPRINTABLE.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def markdown(text: str) -> str:
    """Text inside a line or a table's cell of markdown."""
    return MARKDOWN.sub(r"\\\g<0>", printable(text))


def code(text: str) -> str:
    """Text as a code span of markdown, which it cannot end."""
    shown = printable(text).replace("`", "'").strip()
    return f"`{shown}`" if shown else "(empty)"


def cell(value: Any) -> Any:
    """A value of a CSV file; a spreadsheet takes no text for a formula."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
