"""Which records are one measurement's versions, and which only share a name.

A record is what its spec says. Names for people (the last folder of a checkpoint, an arm) may be
shared by records that were asked different things; these are told apart by what differs, and
never take each other's place.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from reports.foreign import printable
from reports.record import Record

VERSIONS = ("model_hash", "task_hash", "method_code", "settings", "side_hash", "templates")
"""Parts of a spec that say with which content and code it was answered, and not what was asked."""

CELL = (
    "task", "suite", "task_hash", "arm", "seed", "shots", "budget", "dose", "metric",
    "method_code", "settings", "fit_on", "side", "side_hash", "templates",
)  # fmt: skip
"""Parts of a spec that differ between the records of one comparison."""

WORDING = ("frame", "chat_template", "fewshot_as_multiturn")
"""Parts that differ between the tasks of one comparison; one task is asked in one way."""


def question(record: Record) -> str:
    """What was asked: records of the same question are versions of one measurement."""
    return _spelled(record.spec, VERSIONS)


def asked_alike(records: Iterable[Record]) -> list[tuple[dict[str, Any], list[Record]]]:
    """Records by comparison, each with the parts of a spec that they share.

    These are the model and how it was asked. A task that was asked in two wordings divides a
    comparison; tasks that were asked in one are part of both.
    """
    shared: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        shared[_spelled(record.spec, (*CELL, *WORDING))].append(record)
    found = []
    for group in shared.values():
        spec = {k: v for k, v in group[0].spec.items() if k not in (*CELL, *WORDING)}
        ways: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for record in group:
            way = _wording(record)
            ways[record.spec["task"]][_spelled(way)] = way
        divided = {
            name: way for each in ways.values() if len(each) > 1 for name, way in each.items()
        }
        for name, way in divided.items():
            own = [
                r for r in group if len(ways[r.spec["task"]]) == 1 or _spelled(_wording(r)) == name
            ]
            found.append(({**spec, **way}, own))
        if not divided:
            found.append((spec, group))
    return found


def _wording(record: Record) -> dict[str, Any]:
    return {key: record.spec.get(key) for key in WORDING}


def newest(records: Iterable[Record]) -> list[Record]:
    """Of each question's records the one that was measured last, in the order of measuring."""
    ordered = sorted(records, key=lambda record: str(record.provenance.get("date")))
    latest = {question(record): record for record in ordered}
    return [record for record in ordered if latest[question(record)] is record]


def model_names(records: Iterable[Record]) -> dict[str, str]:
    """Names by `place`: as much of a checkpoint's path as tells it from all others."""
    places = {place(record): record for record in records}
    split = {each: PurePath(each).parts[::-1] for each in places}
    found = {}
    for each, parts in split.items():
        if not PurePath(each).is_absolute():
            found[each] = each
            continue
        others = [other for name, other in split.items() if name != each]
        length = next(
            (n for n in range(1, len(parts)) if all(o[:n] != parts[:n] for o in others)), len(parts)
        )
        found[each] = "/".join(parts[:length][::-1]) if length < len(parts) else each
    return {each: printable(name) for each, name in found.items()}


def place(record: Record) -> str:
    """Where a record's model came from: what `pretrained` says, or the model's type."""
    arguments = record.spec.get("model_args") or {}
    return str(arguments.get("pretrained") or record.spec["model"])


def differing(specs: Sequence[Mapping[str, Any]], leave_out: Sequence[str] = ()) -> list[str]:
    """For each spec what tells it from the others, such as `limit=20`; "" where all is usual."""
    keys = sorted({key for spec in specs for key in spec} - {"arm", *leave_out})
    odd = [key for key in keys if len({_spelled({key: spec.get(key)}) for spec in specs}) > 1]
    return [
        ", ".join(f"{key}={_value(spec[key])}" for key in odd if spec.get(key)) for spec in specs
    ]


def told_apart(records: Sequence[Record]) -> list[Record]:
    """Records of one comparison with arms that no other question on the same task and seed has."""
    shared: dict[tuple[str, str, int, str], list[Record]] = defaultdict(list)
    for record in records:
        spec = record.spec
        shared[spec["task"], record.arm, spec["seed"], record.asked].append(record)
    renamed = {}
    for group in shared.values():
        names = differing([record.spec for record in group], VERSIONS)
        for record, name in zip(group, names, strict=True):
            if len(group) > 1 and name:
                arm = {**record.spec["arm"], "name": f"{record.arm} ({name})"}
                renamed[id(record)] = replace(record, spec={**record.spec, "arm": arm})
    return [renamed.get(id(record), record) for record in records]


def _spelled(spec: Mapping[str, Any], leave_out: Sequence[str] = ()) -> str:
    own = {key: value for key, value in spec.items() if key not in leave_out}
    return json.dumps(own, sort_keys=True, default=str)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}={_value(item)}" for key, item in value.items()) + "}"
    return printable(str(value))
