"""Where the code of others failed, in one line."""

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOMS = ("harness", "reports", "steering", "task_defs")
OWN = [Path(__file__).resolve().parent.parent / room for room in ROOMS]
LIBRARIES = [
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
]


@contextmanager
def users_code(what: str, mistake: type[ValueError]) -> Iterator[None]:
    """Turn whatever a user's function raises, or its wish to leave, into a mistake of the user.

    Args:
        what: What was being done with it.
        mistake: The error to raise; our own errors and Ctrl-C pass as they are.
    """
    try:
        with process_kept():
            yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        if is_own(problem):
            raise
        raise mistake(f"{what}: {said(problem)}") from problem


@contextmanager
def process_kept() -> Iterator[None]:
    """Put back what belongs to the whole process: its folder, its streams, torch's defaults.

    What comes later would be written elsewhere, or be computed in another type, without a word.
    """
    streams, folder, kept = (sys.stdout, sys.stderr), _folder(), _defaults()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        if folder is not None and folder != _folder():
            os.chdir(folder)
        if (torch := sys.modules.get("torch")) is not None and kept != _defaults():
            dtype, device, grad = kept or (torch.float32, torch.device("cpu"), True)
            torch.set_default_dtype(dtype)
            torch.set_default_device(None if device.type == "cpu" else device)
            torch.set_grad_enabled(grad)


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it is gone
        return None


def _defaults() -> tuple[Any, Any, bool] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()


@contextmanager
def perhaps_users_code(what: str, mistake: type[ValueError]) -> Iterator[None]:
    """Do what `users_code` does for errors that passed a user's file; others are not his."""
    try:
        with process_kept():
            yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        if is_own(problem) or users_call(problem) is None:
            raise
        raise mistake(f"{what}: {said(problem)}") from problem


def is_own(problem: BaseException) -> bool:
    """Whether an error is one of ours, which says what to do."""
    known = isinstance(problem, ValueError | LookupError | RuntimeError)
    return known and type(problem).__module__.partition(".")[0] in ROOMS


def passed(problem: BaseException, folder: Path) -> bool:
    """Whether an error passed a file of a folder on its way."""
    calls = traceback.extract_tb(problem.__traceback__)
    return any(folder in Path(call.filename).resolve().parents for call in calls)


def said(problem: BaseException) -> str:
    """Say what was raised and where: file and line of a syntax error or of the user's last call."""
    name = "sys.exit" if isinstance(problem, SystemExit) else type(problem).__name__
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{problem.filename} line {problem.lineno}: {name}: {problem.msg}"
    text, where = told(problem)[:300], users_call(problem)
    return ": ".join(filter(None, (where, name, text)))


def told(problem: BaseException) -> str:
    """What an error says, in one line; nothing where its own `__str__` fails."""
    try:
        return " ".join(str(problem).split())
    except Exception:
        return ""


def belongs_to_user(place: Path) -> None:
    """Note that a file, or all files of a folder, are code of the user's own."""
    _users.add(place.resolve())


_users: set[Path] = set()


def users_call(problem: BaseException) -> str | None:
    """Name the innermost place of a user's file that an error passed; None where there is none."""
    for call in reversed(traceback.extract_tb(problem.__traceback__)):
        path = Path(call.filename).resolve()
        known = any(place in path.parents for place in (*OWN, *LIBRARIES))
        if path in _users or (not known and any(place in _users for place in path.parents)):
            return f"{call.filename} line {call.lineno}"
    return None
