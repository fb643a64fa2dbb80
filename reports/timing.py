"""pytest-benchmark JSON as a table: every figure a ratio to its group's own baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import Ge, Le
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from reports.columns import Column, fixed, ratio, seconds, size
from reports.files import BadFile, load
from reports.plots import Figure, save, styled
from reports.stored import LARGEST
from reports.table import Table


class BadTimings(ValueError):
    """A file that is not pytest-benchmark JSON."""


Seconds = Annotated[float, Ge(0), Le(1e12)]
Real = Annotated[float, Ge(-LARGEST), Le(LARGEST)]


class Stats(TypedDict):
    """Of a benchmark's rounds."""

    median: Seconds
    iqr: Seconds
    rounds: int


class Extra(TypedDict, total=False):
    """What our own benchmarks add."""

    baseline: bool
    beside: Real | None
    flops: Real | None
    peak_bytes: Real | None
    against: tuple[str, Real, str] | None


class Benchmark(TypedDict):
    """One benchmark; it has more keys, which nobody reads."""

    name: str
    group: str | None
    stats: Stats
    extra_info: NotRequired[Extra]


class Stored(TypedDict):
    """pytest-benchmark JSON."""

    benchmarks: list[Benchmark]


SHAPE = TypeAdapter(Stored)


def timing_table(path: Path) -> Table:
    """Read benchmarks and set each beside the baseline of its group.

    A group's baseline is the benchmark with `extra_info["baseline"]`, else its slowest one.

    Args:
        path: Written by `pytest --benchmark-json`.

    Raises:
        BadTimings: the file is something else.
    """
    try:
        benchmarks = load(path, SHAPE)["benchmarks"]
    except BadFile as problem:
        raise BadTimings(
            f"{problem}: not pytest-benchmark JSON; write it with --benchmark-json"
        ) from problem
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in benchmarks:
        groups.setdefault(entry["group"] or entry["name"], []).append(_row(entry))
    rows = []
    for name, members in sorted(groups.items()):
        marked = [row for row in members if row["baseline"]]
        base = marked[0] if marked else max(members, key=lambda row: row["median"])
        for row in sorted(members, key=lambda row: -row["median"]):
            speed = base["median"] / row["median"] if row["median"] else None
            rows.append({**row, "group": name, "speed": None if row is base else speed})
    columns = [
        Column("group", "group"), Column("name", "what"),
        Column("median", "median s", _fine, False), Column("iqr", "IQR s", _fine),
        Column("rounds", "rounds", lambda n: f"{n}"),
        Column("speed", "times as fast", ratio, True),
        Column("beside", "time, paired", _share, False), Column("rate", "GFLOP/s", fixed(1), True),
        Column("bytes", "peak memory", size, False),
    ]  # fmt: skip
    note = (
        "From one run of pytest-benchmark. times as fast: the median of the group's baseline (the "
        "row with a dash) over the row's own. time, paired: each round beside a round of the "
        "baseline's work just before it, the median of their ratios. peak memory: beyond what the "
        "process holds before."
    )
    return Table("Timing benchmarks", note, columns, rows)


def _row(entry: Benchmark) -> dict[str, Any]:
    extra, stats = entry.get("extra_info", Extra()), entry["stats"]
    flops = extra.get("flops")
    parameters = entry["name"].partition("[")[2].removesuffix("]")
    return {
        "name": parameters or entry["name"], "median": stats["median"],
        "iqr": stats["iqr"],
        "rounds": stats["rounds"], "baseline": extra.get("baseline", False),
        "beside": extra.get("beside"),
        "rate": flops / stats["median"] / 1e9 if flops and stats["median"] else None,
        "bytes": extra.get("peak_bytes"), "against": extra.get("against"),
    }  # fmt: skip


def timing_figure(table: Table, folder: Path) -> Figure | None:
    """Seconds against what the benchmarks vary, a panel per axis; None where none varies.

    Args:
        table: From `timing_table`.
        folder: Where timings.svg and timings.png go.
    """
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in table.rows:
        if row["against"]:
            axis, value, series = row["against"]
            points = curves.setdefault(str(axis), {}).setdefault(str(series), [])
            points.append((float(value), row["median"]))
    if not curves:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    svg, png = folder / "timings.svg", folder / "timings.png"
    with styled():
        canvas = Canvas(figsize=(3.4 * len(curves), 3.0))
        axes = canvas.subplots(1, len(curves), squeeze=False)[0]
        for panel, (axis, found) in zip(axes, sorted(curves.items()), strict=True):
            for series, points in sorted(found.items()):
                xs, ys = zip(*sorted(points), strict=True)
                panel.plot(xs, ys, "o-", label=series, markersize=4)
                panel.set_xticks(xs, [f"{x:g}" for x in xs])
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter("{x:g}")
            panel.yaxis.set_minor_formatter(NullFormatter())
            panel.set_xlabel(axis)
            panel.legend(fontsize=7.5, frameon=False)
        axes[0].set_ylabel("seconds (log scale)")
        save(canvas, svg, png)
    caption = "Median seconds of one run of pytest-benchmark."
    return Figure("timings", "What costs grow with", caption, svg, png)


def _fine(value: float) -> str:
    return seconds(value) if value >= 1 else f"{value:.3g}"


def _share(value: float) -> str:
    return f"{value:.3f}×"
