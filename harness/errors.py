"""Mistakes of the user, said in one line."""


class UsageError(ValueError):
    """What was given, what was expected, what to do."""


class UserCodeFailed(UsageError):
    """A function of the user's own raised something, or left; the message names file and line."""
