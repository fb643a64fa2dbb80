"""Vectors on tasks that they were not made for: records, statistics, report, gate."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.models.huggingface import HFLM

from harness.cli import main
from harness.measuring.sources import Sources
from reports import Comparison, NotCompared, Record
from reports.record import load_all
from reports.side import EVERY, PLAIN, side_lines, side_table, sides
from steering import SteeringVector
from tests.harness.test_standard_tasks import TASK, UTILS
from tests.harness.test_standard_tasks import command as asked

SIDES = "large,pages"
PAGES = """
task: pages
custom_dataset: !function utils.pages
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: page
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
metadata: {version: 1.0}
"""
MORE = """

def pages(**_):
    rows = [{"page": " ".join(f"w{i * j} so" for j in range(4 + i))} for i in range(10)]
    return DatasetDict({"test": Dataset.from_list(rows)})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "utils.py").write_text(UTILS + MORE)
    (folder / "small.yaml").write_text(TASK.format(name="small", n=20, start=0))
    (folder / "large.yaml").write_text(TASK.format(name="large", n=40, start=100))
    (folder / "pages.yaml").write_text(PAGES)
    return folder


@pytest.fixture(scope="module")
def out(checkpoint: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    more = ["--arms", "zero_shot,few_shot,icv,icv:default,random_vector:icv,icv@few_shot"]
    more += ["--budget", "2", "--side_effects", SIDES]
    assert asked("compare", checkpoint, folder, out, "--tasks", "small,large", *more) == 0
    return out


@pytest.fixture(scope="module")
def records(out: Path) -> list[Record]:
    return load_all(out)


def of(records: list[Record], **wanted: Any) -> list[Record]:
    return [r for r in records if all(r.spec.get(k) == v for k, v in wanted.items())]


def test_every_vector_meets_every_task_that_it_was_not_made_for(records: list[Record]) -> None:
    found = sorted((r.arm, r.spec["task"], r.spec["side"]) for r in records if r.spec["side"])
    steered = ("icv", "icv:default", "random_vector:icv")
    expected = [(arm, "small", side) for arm in steered for side in ("large", "pages")]
    expected += [(arm, "large", "pages") for arm in steered]
    expected += [("zero_shot", side, side) for side in ("large", "pages")]
    assert found == sorted(expected)
    assert len({r.run_id for r in records}) == len(records)


def test_side_tasks_change_no_tuning_and_no_number(
    checkpoint: Path, folder: Path, records: list[Record], tmp_path: Path
) -> None:
    arms = ["--arms", "zero_shot,icv", "--budget", "2"]
    assert asked("compare", checkpoint, folder, tmp_path, "--tasks", "small", *arms) == 0
    alone = {r.arm: r for r in load_all(tmp_path)}
    for arm, record in alone.items():
        (same,) = of(records, task="small", side=None, arm=record.spec["arm"])
        assert same.run_id == record.run_id
        assert same.metrics == record.metrics
        assert (same.spec["settings"], arm) == (record.spec["settings"], arm)
    for record in of(records, side="pages"):
        if record.spec["arm"]["method"]:
            (own,) = of(records, task=record.spec["task"], side=None, arm=record.spec["arm"])
            assert own.spec["settings"] == record.spec["settings"]
            assert own.tuning == record.tuning


def test_a_side_value_is_lm_evals_under_the_vector_that_is_kept(
    checkpoint: Path, folder: Path, out: Path, records: list[Record]
) -> None:
    (record,) = [r for r in of(records, side="pages", task="small") if r.arm == "icv"]
    wanted = record.fit["coefficient"] if record.fit else None
    kept = [SteeringVector.from_pretrained(p.parent) for p in out.glob("vectors/*/*.json")]
    own = [v for v in kept if v.coefficient == wanted and v.norm == record.fit["norm"]]  # type: ignore[index]
    lm = HFLM(str(checkpoint), dtype="float32", device="cpu", batch_size=1)
    task = Sources(include_path=str(folder)).load("pages", "every")
    total, words = 0.0, 0
    with own[0].attached(lm.model) as attachment:
        for document in task.eval_docs:
            ids = [lm.prefix_token_id, *lm.tok_encode(document["page"])]
            row = torch.tensor([ids[:-1]])
            with (
                torch.no_grad(),
                attachment.lengths(torch.tensor([1]), torch.tensor([row.shape[1]])),
            ):
                logits = lm.model(row).logits[0].log_softmax(-1)
            total += float(logits.gather(1, torch.tensor(ids[1:])[:, None]).sum())
            words += len(document["page"].split())
    assert record.metrics["word_perplexity"].value == pytest.approx(
        math.exp(-total / words), rel=1e-3
    )


def test_differences_are_those_of_the_documents(records: list[Record]) -> None:
    found = sides(Comparison(records))
    assert found is not None
    by = {(r.arm, r.spec["task"], r.asked): r for r in records if r.spec["side"]}

    def values(arm: str, task: str, side: str) -> np.ndarray[Any, Any]:
        record = by[arm, task, side]
        rows = sorted(record.samples, key=lambda s: s["doc_id"])
        return np.array([s[record.headline] for s in rows])

    losses = []
    for side, sign in (("large", -1), ("pages", 1)):
        plain, mine = values("zero_shot", side, side), values("icv", "small", side)
        change = found.difference("icv", "small", side)
        assert change is not None
        assert change.value == pytest.approx((mine - plain).mean())
        assert change.low <= change.value <= change.high
        losses.append(sign * (mine - plain).mean() / plain.mean())
    loss = found.entanglement("icv", "small")
    assert loss is not None
    assert loss.value == pytest.approx(np.mean(losses))
    pooled = found.difference("icv", EVERY, "pages")
    both = [values("icv", task, "pages") for task in ("small", "large")]
    expected = np.mean(both, axis=0) - values("zero_shot", "pages", "pages")
    assert pooled is not None
    assert pooled.value == pytest.approx(expected.mean())


def test_what_a_vector_has_seen_does_not_count(records: list[Record]) -> None:
    changed = []
    for record in records:
        if record.spec["side"] == "pages" and record.arm == "icv":
            samples = [{**s, "seen": s["doc_id"] == 0} for s in record.samples]
            record = Record(**{**vars(record), "samples": samples})
        changed.append(record)
    found = sides(Comparison(changed))
    assert found is not None
    for arm in (PLAIN, "icv", "icv:default"):
        assert {len(r.samples) for r in found.pooled.of("pages", arm)} == {9}
    whole = sides(Comparison(records))
    assert whole is not None
    assert len(whole.pooled.of("pages", PLAIN)[0].samples) == 10


def test_the_report_the_table_and_the_gate_have_them(
    out: Path, records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = Comparison(records)
    table = side_table(comparison)
    assert table is not None
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "### Side effects" in text
    assert table.markdown() in text
    assert "Side effects" in (out / "report.html").read_text(encoding="utf-8")
    assert (out / "figures" / "side.svg").is_file()
    assert "Side effects of icv: mean loss" in text
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["side"] for row in rows} == {"", "large", "pages"}
    suite = {(r.spec["task"], r.arm) for r in comparison.records}
    assert ("pages", "zero_shot") not in suite
    baseline = tmp_path / "baseline.json"
    assert main(["gate", str(out), "--baseline", str(baseline), "--update"]) == 0
    cases = json.loads(baseline.read_text())["cases"]
    assert any(name.endswith("small icv 0 on pages") for name in cases)
    assert main(["gate", str(out), "--baseline", str(baseline)]) == 0
    for name, case in cases.items():
        if name.endswith("small icv 0 on pages"):
            case["value"] -= 50
    baseline.write_text(json.dumps({"schema": 1, "cases": cases}))
    capsys.readouterr()
    assert main(["gate", str(out), "--baseline", str(baseline)]) == 1
    assert "small icv 0 on pages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--side_effects", "larg"], "Did you mean 'large'"),
        (["--side_effects", "large", "--arms", "zero_shot"], "no arm steers"),
    ],
)
def test_mistakes_are_one_line(
    checkpoint: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: list[str], said: str,
) -> None:  # fmt: skip
    given = ["--tasks", "small", "--arms", "zero_shot,icv", *more]
    assert asked("compare", checkpoint, folder, tmp_path / "out", *given) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error


def test_different_documents_are_not_compared(records: list[Record]) -> None:
    changed = [
        Record(**{**vars(r), "samples": r.samples[:5]})
        if r.spec["side"] == "pages" and r.arm == "icv"
        else r
        for r in records
    ]
    with pytest.raises(NotCompared, match="answered different documents"):
        side_lines(Comparison(changed))
