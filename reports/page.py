"""The report as one HTML file that needs no network: light and dark, wide and narrow screens."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from reports.claim import Answer
from reports.plots import Figure
from reports.samples import Sample
from reports.table import Table

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Chapter:
    """Everything that is reported of one model.

    Attributes:
        model: Its name.
        summary: What was found, in sentences.
        warnings: What must not be overlooked.
        verdicts: Whether the claim holds under each reading, if both suites were measured.
        answers: One per suite.
        tables: In reading order.
        figures: The overview first.
        samples: Documents with every arm's output.
        facts: What repeats the numbers.
    """

    model: str
    summary: Sequence[str]
    warnings: Sequence[str]
    verdicts: Sequence[str]
    answers: Sequence[Answer]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    samples: Sequence[Sample]
    facts: dict[str, str]

    @property
    def by_task(self) -> dict[str, list[Sample]]:
        """The samples of each task."""
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            found.setdefault(sample.task, []).append(sample)
        return found


def render(title: str, chapters: Sequence[Chapter]) -> str:
    """Return the whole page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = _embedded
    page = environment.get_template("page.html.j2")
    return page.render(
        title=title,
        chapters=chapters,
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
    )


def _embedded(figure: Figure) -> str:
    """A figure's SVG as a data URI, so that the ids of several figures cannot meet."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.read_bytes()).decode()
