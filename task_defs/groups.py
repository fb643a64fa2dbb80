"""What a group's YAML says of its members."""

from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

Config = dict[str, Any]
GROUP_KEYS = {"group", "group_alias", "task", "aggregate_metric_list", "metadata"}
"""What lm-eval reads of a group itself; every other key is a setting of its tasks."""


def members(group: Config) -> tuple[str, ...]:
    """Return the names of a group's members, those of a group written inside it among them."""
    return tuple(name for name, _ in changed(group))


def changed(group: Config, outer: Config | None = None) -> tuple[tuple[str, Config], ...]:
    """Return the names of a group's members with the settings that it puts over theirs.

    Args:
        group: Its YAML, or one written inside it.
        outer: What the group around it puts over its members.
    """
    common = {key: value for key, value in group.items() if key not in GROUP_KEYS} | (outer or {})
    listed, found = group.get("task"), list[tuple[str, Config]]()
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and isinstance(item.get("task"), list):
            found += changed(item, common)
        elif isinstance(item, dict):
            own = {key: value for key, value in item.items() if key not in GROUP_KEYS}
            found.append((str(item.get("group", item.get("task"))), common | own))
        else:
            found.append((item, common))
    return tuple(found)


def circle(name: str, listed: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """Return a circle of groups below a name, its beginning at both ends too; () if there is none.

    Args:
        name: A group.
        listed: The members of a name; none of a task.
    """
    graph, left = dict[str, tuple[str, ...]](), [name]
    while left:
        each = left.pop()
        if each not in graph:
            graph[each] = tuple(listed(each))
            left += graph[each]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()
