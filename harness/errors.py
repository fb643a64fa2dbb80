"""Mistakes of the user, said in one line."""


class UsageError(ValueError):
    """What was given, what was expected, what to do."""


class ModelChanged(RuntimeError):
    """Code of the user's own changed the loaded model: unlike the others, it ends everything."""


class UserCodeFailed(UsageError):
    """A function of the user's own raised something, or left; the message names file and line."""
