"""Mistakes of the user, said in one line."""


class UsageError(ValueError):
    """What was given, what was expected, what to do."""
