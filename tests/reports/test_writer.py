"""The whole report: every file, every cell, hostile outputs, a real browser."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.comparison import Comparison
from reports.facts import facts
from reports.plots import FIGURES, draw
from reports.timing import BadTimings, timing_table
from reports.writer import Paths, tables, write
from tests.reports.records import comparison_records, record, side_records

HOSTILE = '</script><img src=x onerror="document.title=1"> | `code` {{ 7*7 }}'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    records = [*comparison_records(), *side_records()]
    for one in records:
        if one.spec["task"] == "formality":
            one.samples[0]["output"] = HOSTILE
    return write(tmp_path_factory.mktemp("report"), records)


def test_markdown_holds_every_table_and_every_figure(written: Paths) -> None:
    text = written.markdown.read_text(encoding="utf-8")
    for table in tables(Comparison([*comparison_records(), *side_records()])):
        assert f"### {table.title}" in text
    for name in FIGURES:
        assert f"](figures/{name}.svg)" in text
        assert (written.markdown.parent / "figures" / f"{name}.png").stat().st_size > 1000
    assert "measuring instrument" in text


def test_csv_has_a_row_per_measurement(written: Paths) -> None:
    rows = list(csv.DictReader(written.csv.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 6 * (2 * 1 + 4) + 2 + 2 * 2 * 2
    assert {
        "model", "suite", "task", "arm", "seed", "metric", "value", "stderr", "n",
        "higher_is_better",
    } <= rows[0].keys()  # fmt: skip


def test_page_needs_no_network_and_escapes_what_models_write(written: Paths) -> None:
    text = written.page.read_text(encoding="utf-8")
    assert not re.search(r"""<[^<>]*(src|href)=["']?(?!["']|data:)""", text)
    assert "@import" not in text
    assert "<img src=x" not in text
    assert "{{ 7*7 }}" in text
    assert text.count("</script>") == 1


def test_page_holds_every_cell(written: Paths) -> None:
    text = written.page.read_text(encoding="utf-8")
    for table in tables(Comparison(comparison_records())):
        for row in table.texts():
            for cell in row:
                assert f">{cell.replace('<', '&lt;')}</td>" in text


def test_figures_are_xml_and_the_same_again(tmp_path: Path) -> None:
    comparison = Comparison([*comparison_records(), *side_records()])
    first = draw(comparison, tmp_path / "a")
    second = draw(comparison, tmp_path / "b")
    assert [figure.name for figure in first] == list(FIGURES)
    for one, other in zip(first, second, strict=True):
        ElementTree.parse(one.svg)
        assert one.svg.read_bytes() == other.svg.read_bytes()


def test_few_records_make_a_report_too(tmp_path: Path) -> None:
    paths = write(tmp_path, [record()])
    assert "zero_shot" in paths.page.read_text(encoding="utf-8")
    assert "zero_shot" in write(tmp_path, [record(limit=3)]).markdown.read_text(encoding="utf-8")
    assert "not a result" in paths.markdown.read_text(encoding="utf-8")


def benchmarks(folder: Path) -> Path:
    def entry(name: str, median: float, **extra: object) -> dict[str, object]:
        stats = {"median": median, "iqr": median / 10, "rounds": 5}
        return {"group": "aie", "name": name, "stats": stats, "extra_info": extra}

    file = folder / "bench.json"
    content = {
        "benchmarks": [
            entry("naive", 6.0, baseline=True, against=["L * H", 144, "naive"]),
            entry("branching", 0.1, peak_bytes=2048, beside=1.021, flops=2e9),
        ]
    }
    file.write_text(json.dumps(content))
    return file


def test_timings_become_a_table_of_ratios(tmp_path: Path) -> None:
    table = timing_table(benchmarks(tmp_path))
    assert [row[:3] for row in table.texts()] == [
        ["aie", "naive", "6.00"],
        ["aie", "branching", "0.1"],
    ]
    assert [row[5:8] for row in table.texts()] == [["–", "–", "–"], ["60.00×", "1.021×", "20.0"]]
    paths = write(tmp_path, comparison_records(), benchmarks(tmp_path))
    page = paths.page.read_text(encoding="utf-8")
    assert "60.00×" in page
    assert "What costs grow with" in page
    assert (tmp_path / "figures" / "timings.svg").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"benchmarks": [{"name": "x"}]}'])
def test_timings_that_are_something_else(content: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(content)
    with pytest.raises(BadTimings) as caught:
        timing_table(file)
    assert "\n" not in str(caught.value)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
PROBE = """<script>
addEventListener("load", () => {
  const header = document.querySelector("thead th:nth-child(2) button");
  header.click();
  const cells = document.querySelector("table").querySelectorAll("tbody td:nth-child(2)");
  const values = [...cells].map((cell) => Number(cell.textContent));
  document.title = JSON.stringify({
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    sorted: values.every((v, i) => i === 0 || values[i - 1] >= v), n: values.length,
  });
});
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="the page is opened in Chromium, which is not installed")
@pytest.mark.parametrize("width", [1280, 500])
def test_page_in_a_real_browser(written: Paths, tmp_path: Path, width: int) -> None:
    page = tmp_path / "page.html"
    page.write_text(written.page.read_text(encoding="utf-8") + PROBE, encoding="utf-8")
    found = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    match = re.search(r"<title>(.*?)</title>", found.stdout)
    assert match
    assert json.loads(match.group(1)) == {"wide": 0, "sorted": True, "n": 6}


def test_a_report_survives_values_that_are_no_numbers(tmp_path: Path) -> None:
    records = comparison_records()
    for one in records:
        if one.arm == "icv":
            for name in one.metrics:
                one.samples[0][name] = None
    text = write(tmp_path, records).markdown.read_text(encoding="utf-8")
    assert "nan" not in text


def test_what_differs_between_records_is_told_of_each() -> None:
    """A folder may hold what several commands measured, and suites have budgets of their own."""
    first = record("antonym", "fv", budget=192)
    second = record("formality", "icv", suite="behavior_shift", budget=24)
    made = [
        replace(r, provenance={**r.provenance, "commit": commit, "command": f"steergauge {commit}"})
        for r, commit in ((first, "aaa"), (second, "bbb"))
    ]
    told = facts(Comparison(made))
    assert told["commit"] == "aaa; bbb"
    assert told["command"] == "steergauge aaa; steergauge bbb"
    assert told["tuning"].endswith("192 (precision), 24 (behavior_shift)")
    assert facts(Comparison(made[:1]))["commit"] == "aaa"
