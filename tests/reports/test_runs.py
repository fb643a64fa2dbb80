"""Several runs in one report: common tasks, ranks, paired differences of the same measurements."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval import utils

from reports.beside import Gain, beside, models_table
from reports.lm_eval_files import export
from reports.record import Record
from reports.runs import Run, runs_table, titled, unmatched
from reports.stats import compare
from reports.writer import joint_tables, write_runs
from tests.reports.records import comparison_records, record


def model(name: str, rates: dict[str, dict[str, list[float]]]) -> Run:
    """A run of one model: values by task and arm."""
    args = {"pretrained": name}
    records = [
        record(task, arm, values, model_hash=name, model_args=args, model="hf")
        for task, arms in rates.items()
        for arm, values in arms.items()
    ]
    return Run(f"run-{name}", records)


A = model(
    "a",
    {
        "t": {"zero_shot": [0, 0, 0, 0], "fv": [1, 1, 1, 0], "icv": [1, 0, 0, 0]},
        "u": {"zero_shot": [0, 1], "fv": [1, 1], "icv": [0, 1], "few_shot": [1, 1]},
        "only-a": {"zero_shot": [0, 0], "fv": [0, 0]},
    },
)
B = model(
    "b",
    {
        "t": {"zero_shot": [0, 0, 1, 0], "fv": [0, 0, 1, 0], "icv": [1, 0, 1, 0]},
        "u": {"zero_shot": [0, 0], "fv": [1, 0], "icv": [1, 0]},
    },
)


def gains(*runs: Run) -> dict[str, dict[str, Gain]]:
    found = beside(titled(runs), "precision")
    assert found is not None
    return {name: dict(own) for name, own in found.gains.items()}


def test_gains_are_means_over_the_tasks_that_all_models_were_asked() -> None:
    found = gains(A, B)
    assert found["a"]["fv"].found.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["a"]["icv"].found.value == pytest.approx((1 / 4 + 0) / 2)
    assert found["b"]["fv"].found.value == pytest.approx((0 + 1 / 2) / 2)
    assert found["b"]["icv"].found.value == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert "few_shot" not in found["a"], "not measured on both of the tasks"
    expected = titled([A])["a"].difference("fv", tasks=["t", "u"])
    assert (found["a"]["fv"].found.low, found["a"]["fv"].found.high) == (
        expected.low, expected.high,
    )  # fmt: skip


def test_ranks_are_within_a_model_and_ties_share_theirs() -> None:
    ranks = {m: {k: g.rank for k, g in own.items()} for m, own in gains(A, B).items()}
    assert ranks == {"a": {"fv": 1, "icv": 2}, "b": {"fv": 2, "icv": 1}}
    same = {"t": {"zero_shot": [0, 0], "fv": [1, 0], "icv": [0, 1], "caa": [0, 0]}}
    tied = gains(model("c", same), model("d", same))["c"]
    assert {k: g.rank for k, g in tied.items()} == {"fv": 1.5, "icv": 1.5, "caa": 3}


def test_the_table_of_models() -> None:
    found = beside(titled([A, B]), "precision")
    assert found is not None
    table = models_table(found)
    assert [row["model"] for row in table.rows] == ["a", "b", "mean over models"]
    (_, _, mean) = table.texts()
    assert mean[3:] == ["+0.438 (1.5)", "+0.250 (1.5)"]
    assert "(t, u)" in table.note
    assert "Left out" in table.note
    assert "only-a" in table.note


def test_a_task_of_other_documents_is_not_common() -> None:
    changed = [
        dataclasses.replace(
            r, samples=[{**s, "doc_hash": f"other-{s['doc_id']}"} for s in r.samples]
        )
        if r.spec["task"] == "t"
        else r
        for r in B.records
    ]
    found = beside(titled([A, Run("changed", changed)]), "precision")
    assert found is not None
    assert (found.tasks, found.left_out) == (["u"], ["only-a", "t"])


def test_no_task_in_common_is_said() -> None:
    one = model("c", {"t": {"zero_shot": [0, 1], "fv": [1, 1]}})
    other = model("d", {"u": {"zero_shot": [0, 1], "fv": [1, 1]}})
    found = beside(titled([one, other]), "precision")
    assert found is not None
    assert "there are none" in models_table(found).note
    assert beside(titled([one]), "precision") is None


def again(records: list[Record], **changes: Any) -> list[Record]:
    """The same measurements a day later, some of their values changed."""
    return [
        dataclasses.replace(
            r, spec={**r.spec, **changes},
            samples=[{**s, "acc": 1 - s["acc"] if s["doc_id"] == 0 else s["acc"]}
                     for s in r.samples] if r.arm == "fv" else r.samples,
        )
        for r in records
    ]  # fmt: skip


def test_two_runs_of_one_spec_are_paired_by_document() -> None:
    rng = np.random.default_rng(0)
    first = [
        record(task, arm, (rng.random(12) < 0.5).astype(float), seed=seed)
        for task in ("t", "u")
        for arm, seed in (("zero_shot", 0), ("fv", 0), ("fv", 1))
    ]
    second = again(first, model_hash="m1", method_code="new")
    table = runs_table(Run("old", first), Run("new", [*second, record("extra")]))
    assert table is not None
    rows = {row["arm"]: row for row in table.rows}
    assert list(rows) == ["zero_shot", "fv"]
    assert (rows["zero_shot"]["difference"], rows["zero_shot"]["same"]) == (0, 1)
    groups = []
    for task in ("t", "u"):
        sides = [
            np.array([[s["acc"] for s in r.samples] for r in run
                      if r.arm == "fv" and r.spec["task"] == task]).mean(axis=0)
            for run in (first, second)
        ]  # fmt: skip
        groups.append(sides[1] - sides[0])
    expected = compare(groups)
    assert rows["fv"]["difference"] == pytest.approx(expected.value)
    assert rows["fv"]["interval"] == (expected.low, expected.high)
    assert rows["fv"]["n"] == 24
    assert rows["fv"]["changed"] == "model, method"
    assert "6 records; 1 are in one run only" in table.note


def test_runs_that_asked_otherwise_are_not_set_against_each_other() -> None:
    first, limited = Run("old", [record()]), Run("new", [record(limit=3)])
    assert runs_table(first, limited) is None
    assert unmatched([first, limited])[0].startswith("new and old have a model in common")
    assert unmatched([A, B]) == []


def test_other_documents_are_said() -> None:
    other = record("u")
    other.samples[0]["doc_hash"] = "edited"
    table = runs_table(Run("old", [record("t"), record("u")]), Run("new", [record("t"), other]))
    assert table is not None
    assert [row["tasks"] for row in table.rows] == [1]
    assert table.note.endswith("Other documents or another headline: u.")


def test_one_report_of_several_runs(tmp_path: Path) -> None:
    runs = [Run("one", comparison_records()), Run("other", comparison_records(seed=1))]
    paths = write_runs(tmp_path, runs)
    text, page = paths.markdown.read_text(), paths.page.read_text()
    for table in joint_tables(runs):
        assert f"### {table.title}" in text
        assert table.title in page
    for title in ("Runs beside each other", "reference (one)", "reference (other)"):
        assert f"## {title}" in text
    assert "](figures/models.svg)" in text
    assert set(np.unique([line.rsplit(",")[-1] for line in paths.csv.read_text().split()])) >= {
        "one", "other", "run",
    }  # fmt: skip


def test_files_that_tools_of_lm_eval_read(tmp_path: Path) -> None:
    records = comparison_records()
    records[0].lm_eval["acc,none"] = records[0].metrics["acc"].value
    written = export(records, tmp_path)
    assert {path.parent.name for path in written} == {
        "reference__zero_shot", "reference__few_shot", "reference__fv", "reference__icv",
        "reference__random_vector__fv", "reference__random_vector__icv",
    }  # fmt: skip
    for path in written:
        files = [str(file) for file in path.parent.iterdir()]
        assert utils.get_results_filenames(files) == [str(path)]
        content = json.loads(path.read_text())
        assert utils.sanitize_model_name(content["model_name"]) == path.parent.name
        table = utils.make_table(content)
        samples = utils.get_sample_results_filenames(files)
        assert {utils.get_file_task_name(Path(each).name) for each in samples} == set(
            content["results"]
        )
        for each in samples:
            task = utils.get_file_task_name(Path(each).name)
            lines = [json.loads(line) for line in Path(each).read_text().splitlines()]
            metric = "joint" if task == "formality" else "acc"
            mean = sum(line[metric] for line in lines) / len(lines)
            assert content["results"][task][f"{metric},none"] == pytest.approx(mean)
            assert f"{mean:.4f}" in table
            assert content["n-samples"][task]["effective"] == len(lines)


@pytest.mark.parametrize("name", ["../../x", "a/b:c", 'w"?*', "m" * 300])
def test_names_of_others_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    made = record(name, model_args={"pretrained": name}, model="hf")
    (path,) = export([made], tmp_path)
    assert path.parent.parent == tmp_path
    assert math.isfinite(json.loads(path.read_text())["date"])
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("arm", ["zero_shot", "few_shot", "fv", "random_vector:fv"])
def test_no_seed_of_any_arm_is_lost(arm: str, tmp_path: Path) -> None:
    values = {0: (1, 1, 1, 0), 1: (0, 0, 0, 1)}
    paths = export(
        [record(arm=arm, values=own, seed=seed) for seed, own in values.items()], tmp_path
    )
    found = [json.loads(path.read_text())["results"]["antonym"]["acc,none"] for path in paths]
    assert sorted(found) == [0.25, 0.75]
    assert len({path.parent.name for path in paths}) == 2


def test_seeds_are_runs_of_their_own(tmp_path: Path) -> None:
    made = [record(arm="fv", seed=seed) for seed in (0, 1)] + [record()]
    assert {path.parent.name for path in export(made, tmp_path)} == {
        "reference__fv__seed0", "reference__fv__seed1", "reference__zero_shot",
    }  # fmt: skip
