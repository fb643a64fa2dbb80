"""Methods against the best prompting and against random vectors, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.comparison import Comparison
from reports.record import Record
from reports.rivals import rivals_table
from reports.stats import holm
from reports.table import Row
from tests.reports.records import record

VALUES = {
    "zero_shot": (0, 0, 0, 0), "few_shot": (1, 1, 1, 0), "instruction": (0, 1, 0, 0),
    "fv": (1, 1, 0, 1), "icv": (0, 0, 0, 1), "random_vector:icv": (0, 1, 0, 0),
    "random_heads:fv": (1, 1, 1, 1),
}  # fmt: skip


def made(*arms: str, values: dict[str, tuple[int, ...]] = VALUES) -> list[Record]:
    return [record("antonym", arm, values[arm]) for arm in arms]


def found(records: list[Record]) -> tuple[list[str], dict[str, Row]]:
    table = rivals_table(Comparison(records), "precision")
    assert table is not None
    return [column.heading for column in table.columns], {row["arm"]: row for row in table.rows}


def test_the_best_prompting_and_the_own_control_are_the_rivals() -> None:
    titles, rows = found(made(*VALUES))
    assert "Δ few_shot" in titles
    assert set(rows) == {"fv", "icv"}
    assert rows["fv"]["prompted"] == pytest.approx(0.0)
    assert rows["icv"]["prompted"] == pytest.approx(-0.5)
    assert rows["icv"]["random"] == pytest.approx(0.0)
    assert rows["fv"]["control"] == "random_vector:icv"  # none of its own; random heads are others
    assert rows["fv"]["random"] == pytest.approx(0.5)
    raw = [
        Comparison(made(*VALUES)).difference(arm, "few_shot", tasks=["antonym"]).p
        for arm in ("fv", "icv")
    ]
    assert [rows[arm]["prompted p"] for arm in ("fv", "icv")] == holm(raw)


def test_where_lower_is_better_the_lowest_prompting_is_the_rival() -> None:
    lower = [
        replace(r, metrics={k: replace(m, higher_is_better=False) for k, m in r.metrics.items()})
        for r in made("zero_shot", "few_shot", "instruction", "fv")
    ]
    titles, rows = found(lower)
    assert "Δ instruction" in titles
    assert rows["fv"]["prompted"] == pytest.approx(0.5)


def test_without_rivals_there_is_no_table() -> None:
    assert rivals_table(Comparison(made("zero_shot", "fv")), "precision") is None
    assert rivals_table(Comparison(made("zero_shot", "few_shot")), "precision") is None
    titles, rows = found(made("zero_shot", "fv", "random_vector:icv"))
    assert not any(title.startswith("Δ few") for title in titles)
    assert rows["fv"]["random"] == pytest.approx(0.5)
