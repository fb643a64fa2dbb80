"""Text of others is text in every file of a report: no markup, no formula, no mathematics."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from reports import BadRecord, Record, foreign
from reports.columns import Column, fixed
from reports.gate import Verdict, junit
from reports.table import Table
from reports.writer import write
from tests.reports.records import comparison_records, record

HOSTILE = [
    "a|b", "a\nb", "[/x]", "[b](http://x)", "$x_1$ and $y", r"\frac{1}{2}", "a & b", "100 %",
    "<script>alert(1)</script>", "=1+1", "+1", "-1", "@SUM(A1)", "`code`", "*bold*", "_it_",
    "a\u2028b", "\x1b[31mred", "\u202egnp.exe", "# title", "~~gone~~", "x\ud800y",
]  # fmt: skip


def split(line: str) -> list[str]:
    """The cells of a line of a markdown table, as GitHub reads them."""
    cells, escaped = [""], False
    for sign in line.strip().strip("|"):
        if sign == "|" and not escaped:
            cells.append("")
        else:
            cells[-1] += sign
        escaped = sign == "\\" and not escaped
    return [cell.strip() for cell in cells]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_keeps_its_shape(text: str) -> None:
    columns = [Column("name", f"name {text}"), Column("value", "value", fixed())]
    table = Table(f"title {text}", "", columns, [{"name": text, "value": 0.5}] * 2)
    lines = table.markdown().splitlines()
    assert len(lines) == 4
    assert all(len(split(line)) == 2 for line in lines)
    plain = Table("", "", columns, [{"name": "x", "value": 0.5}] * 2).latex()
    assert table.latex().count("\n") == plain.count("\n")
    assert "\\frac" not in table.latex().partition("\n")[2]
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert [len(row) for row in rows] == [2, 2, 2]
    assert not rows[1][0].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("text", HOSTILE)
def test_one_line_without_control_characters(text: str) -> None:
    shown = foreign.printable(text)
    assert len(shown.splitlines()) == 1
    assert not any(ord(sign) < 32 for sign in shown)
    shown.encode()
    verdicts = [Verdict(f"m {text} fv 0", "worse", text), Verdict("b", "pass", "")]
    assert ElementTree.fromstring(junit(verdicts).encode()).get("tests") == "2"
    assert len(str(verdicts[0]).splitlines()) == 1


class Tags(html.parser.HTMLParser):
    found: list[str]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)


@pytest.mark.parametrize("name", ["=a$b$c <b>x</b>|y", r"=[/x] \unknown{$^_$} 100 % & #1"])
def test_a_whole_report_of_hostile_names(name: str, tmp_path: Path) -> None:
    plain = comparison_records(n=12)
    records = [
        record_with(each, {"antonym": name}.get(str(each.spec["task"])), f"/models/{name}")
        for each in plain
    ]
    paths, usual = (
        write(tmp_path / "out", records),
        write(tmp_path / "usual", [record_with(each, None, "/models/plain") for each in plain]),
    )
    for svg in (tmp_path / "out" / "figures").glob("*.svg"):
        ElementTree.fromstring(svg.read_bytes())
    counts = []
    for page in (paths.page, usual.page):
        reader = Tags()
        reader.found = []
        reader.feed(page.read_text())
        counts.append(
            {tag: reader.found.count(tag) for tag in ("script", "table", "tr", "td", "b")}
        )
    assert counts[0] == counts[1]
    shapes = [
        [
            line.count("|") - line.count("\\|")
            for line in path.read_text().splitlines()
            if line.startswith("|")
        ]
        for path in (paths.markdown, usual.markdown)
    ]
    assert shapes[0] == shapes[1]
    rows = [
        row for path in (paths.csv, usual.csv) for row in csv.reader(io.StringIO(path.read_text()))
    ]
    assert len({len(row) for row in rows}) == 1
    assert not any(cell.startswith("=") for row in rows for cell in row)


def record_with(found: Record, task: str | None, pretrained: str) -> Record:
    spec = {**found.spec, "model": "hf", "model_args": {"pretrained": pretrained}}
    return dataclasses.replace(found, spec={**spec, "task": task or spec["task"]})


def test_records_of_hostile_names_are_refused_when_read(tmp_path: Path) -> None:
    for name in ("a\nb", "\x1b[31m", "a\u2028b", "", "x" * 400):
        made = dataclasses.replace(record(name), run_id="some-id")
        with pytest.raises(BadRecord):
            Record.load(made.save(tmp_path))
