"""Write the whole report of a folder of records: markdown, CSV, LaTeX, HTML and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from reports.beside import Beside, beside, models_table
from reports.claim import DUEL, answers, summary, verdicts
from reports.comparison import Comparison, by_model
from reports.costs import cost_table
from reports.facts import facts, warnings
from reports.figures_beside import gains
from reports.files import write_atomically
from reports.foreign import cell, code, markdown
from reports.frame import frame
from reports.judging import agreement_table, judge_table
from reports.page import Chapter, render
from reports.plots import Figure, draw
from reports.price import price_table
from reports.protocol import protocol_tables
from reports.record import Record
from reports.reliability import prediction_table, reliability_table
from reports.rivals import rivals_table
from reports.runs import Run, runs_table, titled, unmatched
from reports.samples import Sample, samples
from reports.side import side_table
from reports.table import Table
from reports.tables import difference_table, suite_table, task_table, whole_table
from reports.timing import timing_figure, timing_table
from reports.tuned import seeds_table, settings_table
from reports.wordings import wordings_table

TITLE = "steergauge report"
OF_A_SUITE = (
    rivals_table, wordings_table, price_table, agreement_table, whole_table, seeds_table,
)  # fmt: skip

OF_ALL = (side_table, judge_table, settings_table, reliability_table, prediction_table)
PREVIEW = 3
"""Samples per behaviour task in the markdown report; the page shows more."""


@dataclass(frozen=True)
class Paths:
    """The files of a report."""

    markdown: Path
    page: Path
    csv: Path
    latex: Path


def write(
    out: Path,
    records: Sequence[Record],
    timings: Path | None = None,
    failures: Mapping[str, str] = MappingProxyType({}),
) -> Paths:
    """Write the report of some records into a folder.

    Args:
        out: The folder.
        records: Of one or more models.
        timings: pytest-benchmark JSON, added as a table.
        failures: Why something asked for could not be measured, by its name.

    Raises:
        ValueError: there is nothing to compare.
    """
    comparisons = {comparison.model: comparison for comparison in by_model(records)}
    chapters = _chapters(out, comparisons, timings, list(starmap(_failed, failures.items())))
    return _put(out, chapters, frame(records))


def write_runs(out: Path, runs: Sequence[Run], timings: Path | None = None) -> Paths:
    """Write one report of several runs into a folder: beside each other, then one by one.

    Args:
        out: The folder.
        runs: Their records, of one or more models each; names differ.
        timings: pytest-benchmark JSON, added as a table.
    """
    comparisons = titled(runs)
    first = Chapter(
        model="Runs beside each other", summary=[], warnings=unmatched(runs), verdicts=[],
        answers=[], tables=joint_tables(runs), figures=gains(_beside(comparisons), out / "figures"),
        samples=[], facts={run.name: f"{len(run.records)} records" for run in runs},
    )  # fmt: skip
    chapters = [first, *_chapters(out, comparisons, timings, [])]
    rows = [frame(run.records).assign(run=run.name) for run in runs]
    return _put(out, chapters, pd.concat(rows, ignore_index=True))


def joint_tables(runs: Sequence[Run]) -> list[Table]:
    """Models beside each other, and every run against the first."""
    against = (runs_table(runs[0], run) for run in runs[1:])
    return [*map(models_table, _beside(titled(runs))), *filter(None, against)]


def _beside(comparisons: Mapping[str, Comparison]) -> list[Beside]:
    suites = dict.fromkeys(suite for each in comparisons.values() for suite in each.suites)
    return [found for suite in suites if (found := beside(comparisons, suite))]


def _chapters(
    out: Path, comparisons: Mapping[str, Comparison], timings: Path | None, said: Sequence[str]
) -> list[Chapter]:
    """One chapter per comparison, by its title."""
    several = len(comparisons) > 1
    timed = [timing_table(timings)] if timings else []
    curves = [figure for t in timed if (figure := timing_figure(t, out / "figures"))]
    return [
        Chapter(
            model=title,
            summary=summary(comparison),
            warnings=[*warnings(comparison), *said],
            verdicts=verdicts(comparison),
            answers=answers(comparison),
            tables=[*tables(comparison), *timed],
            figures=[*draw(comparison, out / "figures", f"{i}-" if several else ""), *curves],
            samples=samples(comparison),
            facts=facts(comparison),
        )
        for i, (title, comparison) in enumerate(comparisons.items())
    ]


def _put(out: Path, chapters: Sequence[Chapter], rows: pd.DataFrame) -> Paths:
    """Write every form of a report."""
    paths = Paths(out / "report.md", out / "report.html", out / "report.csv", out / "report.tex")
    write_atomically(paths.csv, rows.map(cell).to_csv(index=False))
    tables = [table for chapter in chapters for table in chapter.tables]
    write_atomically(paths.latex, "\n".join(table.latex() for table in tables))
    write_atomically(paths.markdown, _markdown(chapters, out))
    write_atomically(paths.page, render(TITLE, chapters))
    return paths


def tables(comparison: Comparison) -> list[Table]:
    """All tables of one model, the most asked for first."""
    found = [suite_table(comparison, suite) for suite in comparison.suites]
    found += protocol_tables(comparison)
    found += [cost_table(comparison)] if len(comparison.suites) > 1 else []
    for suite, tasks in comparison.suites.items():
        found.append(task_table(comparison, suite))
        if any(comparison.of(t, DUEL[0]) and comparison.of(t, DUEL[1]) for t in tasks):
            found.append(difference_table(comparison, suite, *DUEL))
        more = (
            rivals_table,
            wordings_table,
            price_table,
            agreement_table,
            whole_table,
            seeds_table,
        )
        found += filter(None, (make(comparison, suite) for make in more))
    return [*found, *filter(None, (make(comparison) for make in OF_ALL))]


def _failed(name: str, reason: str) -> str:
    return f"Not measured: {name}: {reason}"


def _markdown(chapters: Sequence[Chapter], out: Path) -> str:
    parts = [f"# {TITLE}"]
    for chapter in chapters:
        parts.append(f"## {markdown(chapter.model)}")
        parts += [f"> **Note.** {markdown(warning)}" for warning in chapter.warnings]
        if chapter.summary:
            parts.append("\n".join(f"- {markdown(line)}" for line in chapter.summary))
        parts += [_shown(figure, out) for figure in chapter.figures[:1]]
        parts += [
            f"### {markdown(t.title)}\n\n{t.markdown()}\n\n{markdown(t.note)}"
            for t in chapter.tables
        ]
        parts += [_shown(figure, out) for figure in chapter.figures[1:]]
        if chapter.samples:
            parts.append("### Samples")
            parts += [_sampled(sample) for sample in _first_of_each(chapter.samples)]
        facts = "\n".join(f"- {name}: {code(value)}" for name, value in chapter.facts.items())
        parts.append(f"### How to repeat this\n\n{facts}")
    return "\n\n".join(parts) + "\n"


def _shown(figure: Figure, out: Path) -> str:
    return (
        f"![{markdown(figure.title)}]({figure.svg.relative_to(out).as_posix()})\n\n{figure.caption}"
    )


def _first_of_each(found: Sequence[Sample]) -> list[Sample]:
    """The first samples of every task."""
    tasks = dict.fromkeys(sample.task for sample in found)
    return [s for task in tasks for s in [s for s in found if s.task == task][:PREVIEW]]


def _sampled(sample: Sample) -> str:
    """A sample as a quoted list; a model's text cannot end its code span."""
    lines = [f"**{markdown(sample.task)}** {_flat(sample.input)}"]
    lines += [f"- {markdown(arm)}: {_flat(output)}" for arm, output in sample.outputs.items()]
    return "\n".join([lines[0], "", *lines[1:]])


def _flat(text: str) -> str:
    return code(" ".join(text.split()))
