"""The command line: `steergauge compare | run | fit | sweep | gate | report | ls | validate ...`.

Nothing heavy is imported before a command runs: `steergauge --help` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from harness.errors import one_line, seen
from harness.lm.launch import processes

COMMANDS = {
    "compare": "measure every arm on both suites and write the report: the main job",
    "run": "measure a model, steered by a saved vector or not, on any lm-eval task",
    "fit": "fit a steering vector on a task's train split and save it",
    "convert": "a steering vector into or out of the files of other projects",
    "sweep": "one method over layers, coefficients and numbers of heads, on one task",
    "gate": "compare records with a committed baseline; exit 1 on a regression",
    "status": "what is done, running, failed and left of a comparison, from its folder alone",
    "report": "write the report anew from the records of a folder, or of several beside each other",
    "ls": "list methods, tasks and arms",
    "validate": "check task files for what lm-eval would pass over in silence",
    "lm-eval": "lm-eval's own command line, with steer-fv, steer-icv ... as models",
}
USAGE, BUG, INTERRUPTED = 2, 3, 130
STOPPED = "interrupted; the same command continues where it stopped"
ROOT = Path(__file__).resolve().parent.parent
TRACEBACK = "STEERGAUGE_TRACEBACK"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        said = seen(" ".join(message.split()))
        self.exit(USAGE, f"{self.prog}: error: {said} (see {self.prog} --help)\n")


def parser(chosen: str | None = None) -> Parser:
    """The parser; only the chosen command's own options are loaded."""
    found = Parser(
        prog="steergauge",
        description="Measure what steering does to a language model.",
        epilog="steergauge COMMAND --help lists a command's options. Mistakes are said in one "
        f"line; {TRACEBACK}=1 shows where they were noticed.",
        allow_abbrev=False,
    )
    found.add_argument("--version", action="version", version=f"steergauge {_version()}")
    places = found.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        own = places.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            allow_abbrev=False,
        )  # fmt: skip
        if name == chosen:
            module = import_module(f"harness.commands.{name.replace('-', '_')}")
            module.options(own)
            own.set_defaults(execute=module.execute)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when all is well, 1 when the gate or a validation fails, 2 after a mistake of the user,
        3 after one of ours (with a traceback), 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path need not be a text
    with _interruptible() as interrupted:
        try:
            code = _run(given)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            return _say(STOPPED, INTERRUPTED)
        except BrokenPipeError:
            _silence()
            return 0
        except SystemExit as leaving:
            from task_defs.guard import said, users_call

            if users_call(leaving) is None:
                raise  # the parser's, with its code
            return _say(f"a file of yours ends the program: {said(leaving)}", USAGE)
        except BaseException as problem:  # a user's code may raise any kind
            if interrupted:  # an import that Ctrl-C cut short raises what it likes
                return _say(STOPPED, INTERRUPTED)
            return _explain(problem)


def _run(given: list[str]) -> int:
    if given[:1] == ["lm-eval"]:  # its options are lm-eval's
        from harness.commands.lm_eval import pass_on

        return pass_on(given[1:])
    chosen = next((word for word in given if word in COMMANDS), None)
    parsed = parser(chosen).parse_args(given)
    if processes() > 1 and chosen != "compare":
        return _say(f"several processes share the work of compare only; run {chosen} in one", USAGE)
    return int(parsed.execute(parsed))


@contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """Ctrl-C raises KeyboardInterrupt, and is remembered where something swallows that."""
    happened: list[bool] = []

    def interrupt(*_: object) -> None:
        happened.append(True)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield happened
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield happened
    finally:
        signal.signal(signal.SIGINT, before)


def _explain(problem: BaseException) -> int:
    """Say a mistake in one line; show one of ours with all that helps to find it."""
    from task_defs.guard import said, users_call

    line = _mistake(problem)
    if line is None and users_call(problem) is not None:
        line = f"a file of yours failed: {said(problem)}"
    if line is None or os.environ.get(TRACEBACK):
        traceback.print_exception(problem)
    if line is None:
        return _say("this is a fault of steergauge, not of yours; please report it", BUG)
    return _say(line, USAGE)


def _mistake(problem: BaseException) -> str | None:
    """What the user can mend, in one line; None for what only we can."""
    from task_defs.guard import is_own, users_call

    text = one_line(problem)
    if is_own(problem):
        return text
    if isinstance(problem, OSError):
        name = problem.filename if isinstance(problem.filename, str | bytes) else None
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        if full and name is None:
            _silence()
            name = "standard output"
        todo = "; the disk is full: make room, and the same command continues" if full else ""
        return (
            f"{os.fsdecode(name)}: {problem.strerror}{todo}" if name and problem.strerror else text
        )
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return f"out of memory: {text}; a smaller --batch_size or --max_memory takes less"
    if users_call(problem) is None and isinstance(problem, ValueError | ImportError):
        last = traceback.extract_tb(problem.__traceback__)[-1:]
        ours = any(Path(call.filename).parent.is_relative_to(ROOT) for call in last)
        return None if ours else text  # a library refuses what it was given
    return None


def _silence() -> None:
    """Drop what standard output has not taken, which Python would write again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str, code: int) -> int:
    print(f"steergauge: {seen(message)}", file=sys.stderr)
    return code


def _version() -> str:
    try:
        return version("steergauge")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
