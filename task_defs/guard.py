"""Where the code of others failed, in one line."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWN = Path(__file__).resolve().parent.parent


@contextmanager
def users_code(what: str, mistake: type[ValueError]) -> Iterator[None]:
    """Turn whatever a user's function raises, or its wish to leave, into a mistake of the user.

    Args:
        what: What was being done with it.
        mistake: The error to raise; our own errors and Ctrl-C pass as they are.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        if isinstance(problem, ValueError) and type(problem).__module__.startswith("task_defs."):
            raise
        raise mistake(f"{what}: {said(problem)}") from problem


def said(problem: BaseException) -> str:
    """Say what was raised and where: file and line of a syntax error or of the last call."""
    name = "sys.exit" if isinstance(problem, SystemExit) else type(problem).__name__
    text = " ".join(str(problem).split())[:300]
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{problem.filename} line {problem.lineno}: {name}: {problem.msg}"
    calls = [
        call
        for call in traceback.extract_tb(problem.__traceback__)
        if OWN not in Path(call.filename).parents and "importlib" not in call.filename
    ]
    where = f"{calls[-1].filename} line {calls[-1].lineno}: " if calls else ""
    return f"{where}{name}: {text}" if text else f"{where}{name}"
