"""`steergauge ls`: what can be compared on what."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from harness.commands.values import filled
from harness.measuring.spec import DEFAULT_ARMS


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("kind", nargs="?", choices=tuple(KINDS), help="one of them (default: all)")
    parser.add_argument(
        "--include_path", type=filled, metavar="FOLDER", help="a folder of your own task YAMLs"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print one table per kind."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for kind in [arguments.kind] if arguments.kind else KINDS:
        headings, rows = KINDS[kind]
        table = Table(title=kind, title_justify="left")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows(arguments.include_path):
            table.add_row(*map(Text, row))
        console.print(table)
    return 0


def _methods(_include_path: str | None) -> list[tuple[str, ...]]:
    import dataclasses

    from steering import Shape, get, names

    rows: list[tuple[str, ...]] = []
    for name in names():
        method = get(name)
        searched = list(method.search_space(Shape(12, 12, 768)))
        others = [f.name for f in dataclasses.fields(method) if f.name not in searched]
        rows.append((name, f"steer-{name}", method.summary, ", ".join([*searched, *others])))
    return rows


def _tasks(include_path: str | None) -> list[tuple[str, ...]]:
    import task_defs

    rows: list[tuple[str, ...]] = []
    for name in task_defs.tasks(include_path):
        facts = task_defs.config(name, include_path).get("metadata") or {}
        sizes = [
            len(task_defs.examples(name, s, include_path)) for s in ("train", "validation", "test")
        ]
        rows.append(
            (name, str(facts.get("suite")), str(facts.get("headline")), "/".join(map(str, sizes)))
        )
    return rows


MEANINGS = {
    "zero_shot": "the bare question; the baseline of every difference",
    "few_shot": "after demonstrations: 10 for precision, 4 for behaviour",
    "shuffled_few_shot": "after demonstrations whose answers are permuted",
    "instruction": "after a sentence that says what to do",
    "fv": "function vector, tuned on validation",
    "icv": "in-context vector, tuned on validation",
    "fv:default": "function vector at its published settings, nothing searched",
    "icv:default": "in-context vector at its published settings",
    "random_vector:fv": "control: a random vector in fv's place, with its norm and settings",
    "random_vector:icv": "control: the same for icv",
    "random_heads": "control: a function vector of random heads, with fv's settings",
    "fv@shuffled_few_shot": "fv on top of shuffled demonstrations",
    "icv@shuffled_few_shot": "icv on top of shuffled demonstrations",
}


def _arms(_include_path: str | None) -> list[tuple[str, ...]]:
    combined = ("METHOD@PROMPTING", "any method on top of any prompting")
    matched = ("random_vector:METHOD", "the control of any method")
    shuffled = ("shuffled_fit:METHOD", "control: any method fitted on shuffled labels")
    default = ("METHOD:default", "any method at its published settings, nothing searched")
    meant = [(arm, MEANINGS[arm]) for arm in DEFAULT_ARMS]
    return [*meant, default, matched, shuffled, combined]


def _protocols(_include_path: str | None) -> list[tuple[str, ...]]:
    from harness.protocols import NAMES, named

    return [row for name in NAMES if (found := named(name)) for row in found.rows()]


KINDS: dict[str, tuple[tuple[str, ...], Callable[[str | None], Sequence[tuple[str, ...]]]]] = {
    "methods": (("method", "lm-eval model", "what it is", "settings (searched first)"), _methods),
    "tasks": (("task", "suite", "headline", "train/validation/test"), _tasks),
    "arms": (("arm", "meaning"), _arms),
    "protocols": (("protocol", "what", "value", "source"), _protocols),
}
"""What is listed: the headings of its table, and its rows."""
