"""`steergauge lm-eval ...`: lm-eval's own command line with our models and tasks registered."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def pass_on(arguments: Sequence[str]) -> int:
    """Hand every word to lm-eval."""
    from lm_eval.__main__ import cli_evaluate

    before = sys.argv
    sys.argv = ["lm-eval", *arguments]
    try:
        cli_evaluate()
    finally:
        sys.argv = before
    return 0
