"""The protocol's table: the filter set by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports import Comparison, Record
from reports.protocol import filtered, protocol_tables
from reports.writer import write
from tests.reports.records import record

FACTS = {"name": "fv-paper", "paper": "somebody", "as_published": False, "filtered_by": "few_shot"}
TOP = {
    "zero_shot": ([0, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0]),
    "few_shot": ([1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]),
    "fv": ([1, 0, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]),
}
"""Top-1, 2 and 3 of four documents; few_shot answers the first, second and fourth rightly."""


def made(task: str, arm: str, seed: int = 0, facts: Any = None, **changed: Any) -> Record:
    first, second, third = changed.get("top", TOP[arm])
    own = record(
        task, arm, first, metric="first_token_acc", seed=seed,
        more={"first_token_top_2": second, "first_token_top_3": third, "acc": [0, 1, 0, 0]},
    )  # fmt: skip
    return replace(own, provenance={**own.provenance, "protocol": facts or FACTS})


def comparison(*more: Record) -> Comparison:
    return Comparison([*(made("antonym", arm) for arm in TOP), *more])


def cells(found: Comparison, number: int = 0) -> dict[str, dict[str, str]]:
    table = protocol_tables(found)[number]
    titles = [column.title for column in table.columns]
    return {row[0]: dict(zip(titles, row, strict=True)) for row in table.texts()}


def test_means_on_the_filter_set_and_on_all() -> None:
    row = cells(comparison())["fv"]
    assert [row[f"top-{k}, filter set ↑"] for k in (1, 2, 3)] == ["0.333", "0.667", "1.000"]
    assert [row[f"top-{k}, all ↑"] for k in (1, 2, 3)] == ["0.500", "0.750", "1.000"]
    assert row["whole answer, all ↑"] == "0.250"
    assert cells(comparison())["few_shot"]["top-1, filter set ↑"] == "1.000"


def test_each_seed_has_its_own_filter_set() -> None:
    other = {"few_shot": ([0, 0, 1, 0],) * 3, "fv": ([0, 0, 1, 0],) * 3}
    more = [made("antonym", arm, seed=1, top=top) for arm, top in other.items()]
    found = filtered(comparison(*more), "antonym", "fv", "first_token_acc", "few_shot")
    assert found == (pytest.approx((1 / 3 + 1) / 2), 2)


def test_a_task_that_is_never_answered_rightly_is_told_and_does_not_count() -> None:
    nothing = {arm: ([0, 0, 0, 0],) * 3 for arm in TOP}
    found = comparison(*(made("plural", arm, top=top) for arm, top in nothing.items()))
    assert cells(found)["fv"]["top-1, filter set ↑"] == "0.333"
    assert cells(found)["fv"]["top-1, all ↑"] == "0.250"
    assert "1 of the tasks have none" in protocol_tables(found)[0].note
    assert cells(found, 1)["plural"]["fv ↑"] == "–"


def test_published_numbers_say_that_they_are(tmp_path: Path) -> None:
    records = list(comparison().records)
    text = write(tmp_path, records).markdown.read_text(encoding="utf-8")
    assert "### fv-paper: first token" in text
    assert "no number of this table was measured here" in text
    assert "- protocol: `fv-paper (somebody)`" in text


@pytest.mark.parametrize("facts", [{"name": 3}, ["fv-paper"], {"name": "x", "filtered_by": 1}, ""])
def test_records_that_say_nonsense_of_a_protocol_have_no_such_table(facts: Any) -> None:
    records = [made("antonym", arm) for arm in TOP]
    records = [replace(r, provenance={**r.provenance, "protocol": facts}) for r in records]
    assert protocol_tables(Comparison(records)) == []


def test_a_record_without_the_metric_has_no_such_table() -> None:
    plain = record("antonym", "zero_shot")
    told = replace(plain, provenance={**plain.provenance, "protocol": FACTS})
    assert protocol_tables(Comparison([told])) == []
