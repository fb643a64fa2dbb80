"""The command line: `steergauge compare | run | fit | sweep | gate | report | ls | validate ...`.

Nothing heavy is imported before a command runs: `steergauge --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from harness.lm.launch import processes

COMMANDS = {
    "compare": "measure every arm on both suites and write the report: the main job",
    "run": "measure a model, steered by a saved vector or not, on any lm-eval task",
    "fit": "fit a steering vector on a task's train split and save it",
    "convert": "a steering vector into or out of the files of other projects",
    "sweep": "one method over layers, coefficients and numbers of heads, on one task",
    "gate": "compare records with a committed baseline; exit 1 on a regression",
    "status": "what is done, running, failed and left of a comparison, from its folder alone",
    "report": "write the report anew from the records of a folder",
    "ls": "list methods, tasks and arms",
    "validate": "check task files for what lm-eval would pass over in silence",
    "lm-eval": "lm-eval's own command line, with steer-fv, steer-icv ... as models",
}
USAGE, INTERRUPTED = 2, 130
TRACEBACK = "STEERGAUGE_TRACEBACK"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


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
        130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["lm-eval"]:  # its options are lm-eval's
        from harness.commands.lm_eval import pass_on

        return pass_on(given[1:])
    chosen = next((word for word in given if word in COMMANDS), None)
    parsed = parser(chosen).parse_args(given)
    if processes() > 1 and chosen != "compare":
        return _say(f"several processes share the work of compare only; run {chosen} in one", USAGE)
    try:
        return int(parsed.execute(parsed))
    except KeyboardInterrupt:
        return _say("interrupted; the same command continues where it stopped", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as problem:
        if os.environ.get(TRACEBACK):
            raise
        return _say(" ".join(str(problem).split()) or type(problem).__name__, USAGE)


def _say(message: str, code: int) -> int:
    print(f"steergauge: {message}", file=sys.stderr)
    return code


def _version() -> str:
    try:
        return version("steergauge")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
