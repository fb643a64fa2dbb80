"""pytest-benchmark JSON as a table: every figure a ratio to its group's own baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reports.columns import Column, ratio, seconds, size
from reports.table import Table


class BadTimings(ValueError):
    """A file that is not pytest-benchmark JSON."""


def timing_table(path: Path) -> Table:
    """Read benchmarks and set each beside the baseline of its group.

    A group's baseline is the benchmark with `extra_info["baseline"]`, else its slowest one.

    Args:
        path: Written by `pytest --benchmark-json`.

    Raises:
        BadTimings: the file is something else.
    """
    try:
        benchmarks = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
        groups: dict[str, list[dict[str, Any]]] = {}
        for entry in benchmarks:
            groups.setdefault(str(entry["group"] or entry["name"]), []).append(_row(entry))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        reason = " ".join(str(problem).split())
        raise BadTimings(
            f"{path}: not pytest-benchmark JSON ({reason}); write it with --benchmark-json"
        ) from problem
    rows = []
    for name, members in sorted(groups.items()):
        marked = [row for row in members if row["baseline"]]
        base = marked[0] if marked else max(members, key=lambda row: float(row["median"]))
        for row in sorted(members, key=lambda row: -float(row["median"])):
            speed = base["median"] / row["median"] if row["median"] else None
            rows.append({**row, "group": name, "speed": None if row is base else speed})
    columns = [
        Column("group", "group"), Column("name", "what"),
        Column("median", "median s", _fine, False), Column("iqr", "IQR s", _fine),
        Column("rounds", "rounds", lambda n: f"{n}"),
        Column("speed", "times as fast", ratio, True), Column("bytes", "peak memory", size, False),
    ]  # fmt: skip
    note = (
        "From one run of pytest-benchmark. times as fast: the median of the group's baseline (the "
        "row with a dash) over the row's own."
    )
    return Table("Timing benchmarks", note, columns, rows)


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    extra, stats = entry.get("extra_info") or {}, entry["stats"]
    return {
        "name": entry["name"], "median": float(stats["median"]), "iqr": float(stats["iqr"]),
        "rounds": int(stats["rounds"]), "baseline": bool(extra.get("baseline")),
        "bytes": extra.get("peak_bytes"),
    }  # fmt: skip


def _fine(value: float) -> str:
    return seconds(value) if value >= 1 else f"{value:.3g}"
