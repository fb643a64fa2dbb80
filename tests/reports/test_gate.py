"""The gate: every reason to be red, each planted once, and green otherwise."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports import Metric, Record
from reports.baseline import BadBaseline
from reports.gate import Rule, gate, github, junit
from tests.reports.records import comparison_records, record

GOOD = (1,) * 30 + (0,) * 10


def statuses(records: list[Record], path: Path, **options: object) -> dict[str, str]:
    found = gate(records, path, **options)  # type: ignore[arg-type]
    return {verdict.case.removeprefix("reference "): verdict.status for verdict in found}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "baseline.json"
    gate([record(values=GOOD), record(arm="fv", values=GOOD)], file, update=True)
    return file


def test_unchanged_records_pass(tmp_path: Path) -> None:
    file, records = tmp_path / "b.json", comparison_records()
    gate(records, file, update=True)
    assert set(statuses(records, file).values()) == {"pass"}
    assert set(statuses(comparison_records(), file).values()) == {"pass"}


def test_one_line_per_case_sorted(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[1].startswith('"reference antonym fv 0": {"documents":')
    assert lines[2].startswith('"reference antonym zero_shot 0":')
    assert len(lines) == 4
    assert json.loads(path.read_text())["cases"]["reference antonym fv 0"]["value"] == 0.75


def test_worse_beyond_tolerance(path: Path) -> None:
    worse = record(arm="fv", values=(1,) * 29 + (0,) * 11)
    assert statuses([record(values=GOOD), worse], path)["antonym fv 0"] == "worse"
    loose = statuses([record(values=GOOD), worse], path, rule=Rule(tolerance=0.03))
    assert loose["antonym fv 0"] == "pass"


@pytest.mark.parametrize(("hits", "status"), [(73, "pass"), (72, "worse"), (77, "pass")])
def test_the_tolerance_itself_is_within_it(tmp_path: Path, hits: int, status: str) -> None:
    def made(hits: int) -> Record:
        return record(values=(1,) * hits + (0,) * (100 - hits))

    file = tmp_path / "b.json"
    gate([made(75)], file, update=True)
    assert statuses([made(hits)], file) == {"antonym zero_shot 0": status}


@pytest.mark.parametrize("lost", [None, math.nan, "much"])
def test_a_document_without_its_value_is_not_passed_over(path: Path, lost: object) -> None:
    steered = record(arm="fv", values=GOOD)
    samples = [*steered.samples[:-1], {**steered.samples[-1], "acc": lost}]
    records = [record(values=GOOD), dataclasses.replace(steered, samples=samples)]
    found = {verdict.case: verdict for verdict in gate(records, path)}["reference antonym fv 0"]
    assert found.status == "changed_protocol"
    assert "which documents have a value" in found.text


def test_time_that_one_side_lacks_is_told_from_time_that_was_compared(path: Path) -> None:
    def timed(rule: Rule) -> list[bool | None]:
        return [verdict.timed for verdict in gate(records, path, rule)]

    records = [record(values=GOOD), record(arm="fv", values=GOOD)]
    assert timed(Rule()) == [None, None]
    assert timed(Rule(slowdown=0.5)) == [True, None]
    fv = records[1]
    records[1] = dataclasses.replace(fv, timings={**fv.timings, "rounds": None})
    assert timed(Rule(slowdown=0.5)) == [False, None]


def test_significantly_worse_within_tolerance(path: Path) -> None:
    worse = record(arm="fv", values=(1,) * 15 + (0,) * 25)
    found = gate([record(values=GOOD), worse], path, Rule(tolerance=0.9))
    (verdict,) = [v for v in found if v.failed]
    assert "paired test" in verdict.text


def test_a_metric_where_lower_is_better(tmp_path: Path) -> None:
    def lower(values: tuple[int, ...]) -> Record:
        made = record(values=values)
        metric = dataclasses.replace(made.metrics["acc"], higher_is_better=False)
        return dataclasses.replace(made, metrics={"acc": metric})

    file = tmp_path / "b.json"
    gate([lower((0, 0, 0, 1))], file, update=True)
    assert statuses([lower((0, 0, 0, 0))], file) == {"antonym zero_shot 0": "better"}
    assert statuses([lower((0, 0, 1, 1))], file) == {"antonym zero_shot 0": "worse"}


def test_nan(path: Path) -> None:
    broken = dataclasses.replace(
        record(arm="fv", values=GOOD), metrics={"acc": Metric(math.nan, None, 40, True)}
    )
    for options in ({}, {"update": True}):
        found = statuses([record(values=GOOD), broken], path, **options)
        assert found["antonym fv 0"] == "nan"


def test_missing_baseline_is_written_and_fails_once(path: Path) -> None:
    records = [record(arm=arm, values=GOOD) for arm in ("zero_shot", "fv", "icv")]
    assert statuses(records, path)["antonym icv 0"] == "missing_baseline"
    assert statuses(records, path)["antonym icv 0"] == "pass"


def test_unused_baseline(path: Path) -> None:
    assert statuses([record(values=GOOD)], path)["antonym fv 0"] == "unused_baseline"
    assert statuses([record(values=GOOD)], path, update=True) == {"antonym zero_shot 0": "pass"}


@pytest.mark.parametrize("change", [{"shots": 5}, {"task_hash": "other"}, {"limit": 3}])
def test_changed_protocol(path: Path, change: dict[str, object]) -> None:
    changed = [record(values=GOOD, **change), record(arm="fv", values=GOOD)]  # type: ignore[arg-type]
    assert statuses(changed, path)["antonym zero_shot 0"] == "changed_protocol"
    assert set(statuses(changed, path, update=True).values()) == {"pass"}


def test_other_documents_are_a_changed_protocol(path: Path) -> None:
    fewer = record(arm="fv", values=GOOD[:-1])
    found = statuses([record(values=GOOD), fewer], path)
    assert found["antonym fv 0"] == "changed_protocol"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("higher_is_better", False, "the metric's direction"), ("metric", "exact", "the metric"),
     ("values", "1", "the number of documents"), ("documents", "0", "the documents")],
)  # fmt: skip
def test_an_edited_baseline_is_another_question(
    path: Path, key: str, value: object, said: str
) -> None:
    content = json.loads(path.read_text())
    content["cases"]["reference antonym fv 0"][key] = value
    path.write_text(json.dumps(content))
    records = [record(values=GOOD), record(arm="fv", values=GOOD)]
    found = {verdict.case: verdict for verdict in gate(records, path)}["reference antonym fv 0"]
    assert found.status == "changed_protocol"
    assert found.text.startswith(f"{said} changed")


def test_another_model_or_method_is_judged_by_its_numbers(path: Path) -> None:
    same = [record(values=GOOD, model_hash="m1"), record(arm="fv", values=GOOD, method_code="new")]
    assert set(statuses(same, path).values()) == {"pass"}


def test_update_new_only_judges_the_others(path: Path) -> None:
    records = [
        record(values=GOOD), record(arm="fv", values=(0,) * 40), record(arm="icv", values=GOOD),
    ]  # fmt: skip
    found = statuses(records, path, update_new_only=True)
    assert found == {
        "antonym fv 0": "worse", "antonym icv 0": "pass", "antonym zero_shot 0": "pass",
    }  # fmt: skip


def test_overhead_is_gated_when_asked(path: Path) -> None:
    slow = [record(values=GOOD), record(arm="fv", values=GOOD, ms_per_doc=5.0)]
    assert statuses(slow, path)["antonym fv 0"] == "pass"
    assert statuses(slow, path, rule=Rule(slowdown=0.5))["antonym fv 0"] == "slower"


def test_junit_and_github(path: Path) -> None:
    worse = record(arm="fv", values=(0,) * 40)
    found = gate([record(values=GOOD), worse], path)
    root = ElementTree.fromstring(junit(found))
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert github(found).startswith("::error title=reference antonym fv 0::acc 0.0000, was 0.7500")


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "5", '{"schema": 9, "cases": {}}', '{"schema": 1}',
        '{"schema": 1, "cases": {"a": 1}}', '{"schema": 1, "cases": {"a": {"protocol": "x"}}}',
        '{"schema": 1, "cases": {"a": {"protocol": "x", "documents": "y", "metric": "acc", '
        '"higher_is_better": true, "value": "high", "values": "01"}}}',
        '{"schema": 1, "cases": {"a": {"protocol": "x", "documents": "y", "metric": "acc", '
        '"higher_is_better": true, "value": 0.5, "values": "0x"}}}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_baseline_is_refused_and_kept(content: str, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_text(content)
    with pytest.raises(BadBaseline) as caught:
        gate([record()], file, update=False)
    assert "\n" not in str(caught.value)
    assert file.read_text() == content
