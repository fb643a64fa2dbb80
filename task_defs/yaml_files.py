"""YAML files of bounded size and depth, as plain values.

A few lines of YAML can name each other until their expansion fills a machine, and its parser nests
on the stack of C; so the events of a file are counted, aliases by what they stand for, before
anything is built from them.
"""

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from task_defs.files import Unbounded, Unreadable, read_text

LIMIT = 2**20
"""Bytes of a YAML file."""

DEPTH, NODES = 40, 200_000
"""Nested lists and mappings; values, each alias counted as all that it names."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, as lm-eval's


class Function(str):
    """What a `!function` tag names."""


class _Loader(_Base):  # type: ignore[misc]
    """Plain values, and names of functions."""


_Loader.add_constructor("!function", lambda loader, node: Function(loader.construct_scalar(node)))


def read_yaml(path: Path) -> Any:
    """The value of a YAML file; a `!function` tag is a `Function`.

    Raises:
        Unreadable: with the reason.
        Unbounded: no other reader must open it either.
        FileNotFoundError: there is none.
    """
    return copy.deepcopy(_parsed(read_text(path, LIMIT)))


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    """The value of a text; a command meets the shipped files many times."""
    try:
        _check(text)
        return yaml.load(text, Loader=_Loader)
    except Unreadable:
        raise
    except Exception as error:  # its constructors of dates and numbers raise many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unreadable(f"not YAML: {reason}") from error


@dataclass
class _Open:
    """A list or mapping whose end has not come.

    Attributes:
        anchor: Its name for aliases.
        keys: Those of a mapping so far; None for a list.
        nodes: It and all values below it so far, aliases followed.
        children: Nodes directly in it; every other one of a mapping is a key.
    """

    anchor: str | None = None
    keys: set[str] | None = None
    nodes: int = 1
    children: int = 0

    def take(self, event: Any, line: int) -> None:
        """Count a node directly in it.

        Raises:
            Unreadable: A key that was there before.
        """
        self.children += 1
        if self.keys is None or self.children % 2 == 0 or not isinstance(event, yaml.ScalarEvent):
            return
        key = str(event.value)
        if key in self.keys and key != "<<":
            raise Unreadable(f"line {line}: the key {key[:40]!r} stands twice; keep one")
        self.keys.add(key)


def _check(text: str) -> None:
    """Refuse a YAML text that is too deep, too large when its aliases are followed, or ambiguous.

    Raises:
        Unbounded: it must not be parsed.
        Unreadable: a key that stands twice.
    """
    sizes: dict[str, int] = {}
    stack, total = [_Open()], 0
    events: Iterator[Any] = yaml.parse(text, Loader=_Base)
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            stack[-1].nodes += closed.nodes
            if closed.anchor is not None:
                sizes[closed.anchor] = closed.nodes
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        stack[-1].take(event, line)
        nodes = 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise Unbounded(f"line {line}: *{event.anchor} stands before or within its value")
            nodes = sizes[event.anchor]
        total += nodes
        if isinstance(event, yaml.CollectionStartEvent):
            keys = set[str]() if isinstance(event, yaml.MappingStartEvent) else None
            stack.append(_Open(event.anchor, keys))
        else:
            stack[-1].nodes += nodes
            if isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
                sizes[event.anchor] = 1
        if len(stack) > DEPTH or total > NODES:
            raise Unbounded(
                f"line {line}: more than {DEPTH} levels or {NODES} values, aliases followed"
            )
