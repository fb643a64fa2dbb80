"""The commands of docs/standard-tasks.md are commands, and their tasks are known by these names."""

from __future__ import annotations

import argparse
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from harness.measuring.sources import Sources

PAGE = Path(__file__).parents[1] / "docs" / "standard-tasks.md"
LINES = PAGE.read_text(encoding="utf-8").splitlines()
COMMANDS = [line.strip() for line in LINES if line.startswith("    steergauge ")]


def parsed(command: str) -> argparse.Namespace:
    _, name, *words = shlex.split(command)
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    import_module(f"harness.commands.{name}").options(parser)
    return parser.parse_args(words)


def test_every_option_is_shown() -> None:
    text = " ".join(COMMANDS)
    shown = ("--dataset", "--metric", "--fit_on", "--data", "--side_effects", "--suite")
    assert all(option in text for option in shown)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_read(command: str) -> None:
    assert parsed(command).output_path == Path("out")


def test_tasks_are_known_by_these_names() -> None:
    known = {*Sources().library.names, *Sources().own}
    asked = {
        name
        for command in COMMANDS
        for given in (parsed(command).tasks, parsed(command).side_effects)
        for name in (given or "").split(",")
        if name
    }
    assert len(asked) > 5
    assert not asked - known
