"""Whatever a disk holds or a command line says: our own error in one line, soon, in little memory.

Seeded and short here; STEERGAUGE_FUZZ=100000 tries so many cases of every kind and says what the
slowest and the largest of each took.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import task_defs
from harness.cases.evals import Asked
from harness.cli import parser
from harness.commands import values
from harness.errors import UsageError
from harness.tuning.asking import key_of
from harness.tuning.search import Search, Trial
from harness.tuning.searches import KeptTrials, Searches, _digest
from reports import BadRecord, NotCompared, Record, by_model, frame
from reports.baseline import BadBaseline, cases, read
from reports.gate import gate, junit
from reports.record import dump
from reports.samples import samples
from reports.timing import BadTimings, timing_table
from reports.tuned import settings_table
from reports.writer import tables
from steering import Choice, Integer, Real, SearchSpace
from task_defs.rendering import BadTemplate
from tests.fuzz.mutate import altered, damaged
from tests.reports.records import comparison_records

LONG = int(os.environ.get("STEERGAUGE_FUZZ", "0"))
CASES = LONG or 150
TASKS = (task_defs.BadTask, task_defs.BadPairs, task_defs.UnknownTask, BadTemplate)
SECONDS, BYTES = 10, 100 * 2**20
EXAMPLES = settings(
    max_examples=CASES, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TASK = """include: base.yaml
task: mine
dataset_kwargs: {file: pairs.json}
metadata: &m {suite: mine, version: 1.0, headline: acc, shots: 3}
metric_list:
  - {metric: acc, higher_is_better: true}
doc_to_text: "{{input}} ->"
"""
BASE = "class: !function task_defs.task.PairsTask\ntarget_delimiter: ' '\n"
EVAL = """tasks: [antonym, present-past]
arms: [zero_shot, fv]
seeds: [0, 1]
budget: 3
limit: 10
at_least: {fv: 0.6}
"""
TIMES = {
    "benchmarks": [
        {"name": "test_fit[fv]", "group": "fit", "stats": {"median": 0.5, "iqr": 0.1, "rounds": 5},
         "extra_info": {"baseline": True, "flops": 1e9, "against": ["layers", 3, "fv"]}},
        {"name": "test_fit[icv]", "group": None, "stats": {"median": 0.2, "iqr": 0.1, "rounds": 5}},
    ]
}  # fmt: skip


OWN = tuple({BadRecord, NotCompared, BadBaseline, BadTimings, UsageError, *TASKS})
"""Our own errors, which say what to do; any other one fails the test."""


class Taken(NamedTuple):
    """What one case took."""

    seconds: float
    grown: int


TAKEN: list[Taken] = []


@pytest.fixture(autouse=True)
def _figures(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Say how many cases a long run tried and what they took."""
    TAKEN.clear()
    yield
    if LONG and TAKEN:
        seconds, grown = max(t.seconds for t in TAKEN), max(t.grown for t in TAKEN) / 2**20
        with capsys.disabled():
            print(
                f"\n{request.node.name}: {len(TAKEN)} uses, slowest {seconds:.3f} s, "
                f"{grown:.1f} MB more at the most"
            )


def bounded(work: Callable[[], object], *expected: type[BaseException]) -> None:
    """Do something that may be refused, in one line, soon, in little memory."""
    said = ""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        work()
    except expected as problem:
        said = str(problem)
    assert "\n" not in said
    assert len(said) < 2000
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    TAKEN.append(Taken(time.process_time() - began, grown))
    assert TAKEN[-1].seconds < SECONDS
    assert TAKEN[-1].grown < BYTES


@functools.cache
def made() -> list[Record]:
    return comparison_records(n=6)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_records(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, root = Random(seed), scratch(tmp_path_factory, "records")
    kept = [random.choice(made()) for _ in range(2)]
    folder = kept[0].save(root)
    others = [kept[1]] if kept[1].run_id != kept[0].run_id else []
    path = folder / random.choice(("record.json", "record.json", "samples.jsonl"))
    content = path.read_bytes()
    if random.random() < 0.5:
        path.write_bytes(damaged(content, random))
    elif path.name == "record.json":
        path.write_text(json.dumps(altered(json.loads(content), random)))
    else:
        lines = [altered(json.loads(line), random) for line in content.splitlines()]
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        path.write_bytes(content)
        record = json.loads((folder / "record.json").read_bytes())
        record["samples"]["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "record.json").write_text(json.dumps(record))

    def use() -> None:
        records = [Record.load(folder), *others]
        cases(records)
        frame(records).to_csv()
        for comparison in by_model(records):
            samples(comparison)
            if chosen := settings_table(comparison):
                chosen.markdown()
            if seed % 40 == 0:
                assert tables(comparison)

    bounded(use, BadRecord, NotCompared)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_baselines(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, path = Random(seed), scratch(tmp_path_factory, "baseline") / "b.json"
    path.unlink(missing_ok=True)
    records = made()[:3]
    gate(records, path, update=True)
    content = path.read_bytes()
    if random.random() < 0.5:
        path.write_bytes(damaged(content, random))
    else:
        path.write_text(json.dumps(altered(json.loads(content), random)))
    before = path.read_bytes()

    def use() -> None:
        verdicts = gate(records, path)
        if before != content and [v.status for v in verdicts] == ["pass"] * 3:
            assert read(path).keys() == cases(records).keys()
        junit(verdicts).encode()

    bounded(use, BadBaseline)


@functools.cache
def kept_search() -> tuple[Any, Any]:
    """A finished search and a trial of it, as they are on disk but for their checksums."""
    space: SearchSpace = {"layer": Integer(0, 9, 3), "coefficient": Real(0.1, 10.0, 1.0),
                          "heads": Choice((1, 10))}  # fmt: skip
    settings = {"layer": 3, "coefficient": 1.0, "heads": 1}
    trial = Trial(settings, 0.5, 0.1, None, {"attribute": 0.5}, -1.0)
    found = Search(space, 1, "acc", True, 9, (trial,), {"attribute": 0.25}).as_json()
    return json.loads(json.dumps(found)), [key_of(settings), dataclasses.asdict(trial), 9]


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_searches(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Damaged ones are made anew, even if somebody made their checksums fit."""
    random, folder = Random(seed), scratch(tmp_path_factory, "searches")
    sound, _ = kept_search()
    whole, line = (altered(x, random) if random.random() < 0.5 else x for x in kept_search())
    signed = {**whole, "sha256": _digest(whole)} if isinstance(whole, dict) else whole
    listed = [_digest(line), *line] if isinstance(line, list) else line
    for name, part in (("k.json", signed), ("k.trials.jsonl", listed)):
        text = json.dumps(part).encode()
        (folder / name).write_bytes(damaged(text, random) if random.random() < 0.3 else text)

    def use() -> None:
        found = Searches(folder)._load("k")
        kept = KeptTrials(folder / "k.trials.jsonl").get(sound["trials"][0]["settings"])
        for trial in (*(found.trials if found else ()), *(kept[:1] if kept else ())):
            assert isinstance(trial.rank(True), float)
        dump(found and found.as_json())

    bounded(use, *OWN)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_timings(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, path = Random(seed), scratch(tmp_path_factory, "timings") / "t.json"
    if random.random() < 0.5:
        path.write_bytes(damaged(json.dumps(TIMES).encode(), random))
    else:
        path.write_text(json.dumps(altered(TIMES, random)))
    bounded(lambda: timing_table(path).markdown(), BadTimings)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_pairs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, path = Random(seed), scratch(tmp_path_factory, "pairs") / "p.json"
    pairs = [{"input": f"word{i}", "output": f"answer{i}"} for i in range(40)]
    text = json.dumps(pairs) if random.random() < 0.5 else "\n".join(map(json.dumps, pairs))
    if random.random() < 0.6:
        path.write_bytes(damaged(text.encode(), random))
    else:
        path.write_text(json.dumps(altered(pairs, random)))
    bounded(lambda: task_defs.pairs_file(path), task_defs.BadPairs)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_task_files(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, folder = Random(seed), scratch(tmp_path_factory, "tasks")
    pairs = [{"input": f"word{i}", "output": f"answer{i}"} for i in range(40)]
    (folder / "pairs.json").write_text(json.dumps(pairs))
    for name, text in (("mine.yaml", TASK), ("base.yaml", BASE)):
        hit = random.random() < 0.6
        (folder / name).write_bytes(damaged(text.encode(), random) if hit else text.encode())

    def use() -> None:
        for report in task_defs.validate(folder):
            assert len(str(report).splitlines()) == 1

    bounded(use, *OWN)

    bounded(lambda: task_defs.examples("mine", "train", folder).prompt((), "x"), *OWN)


@EXAMPLES
@given(seed=st.integers(0, 2**32))
def test_evaluation_files(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    random, path = Random(seed), scratch(tmp_path_factory, "evals") / "x.eval.yaml"
    path.write_bytes(damaged(EVAL.encode(), random))

    bounded(lambda: Asked.read(path), *OWN)


KINDS = [
    values.key_values, values.positive, values.whole, values.seed, values.batch_size, values.listed,
    values.filled, values.folder, values.numbers, values.seeds, values.reals, values.finite,
    values.share, values.memory, values.dose,
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[-+0-9.,eE_naif:{}\[\]\"=]{0,30}", fullmatch=True),
    st.integers(-(10**400), 10**400).map(str),
    st.floats().map(str),
    st.sampled_from(["[" * 5000, "{" * 5000, "9" * 5000, "²", "1_0", "０", "a=" + "[" * 5000]),
)


@EXAMPLES
@given(text=TEXTS, kind=st.sampled_from(KINDS))
def test_values_of_options(text: str, kind: Callable[[str], Any]) -> None:
    bounded(lambda: kind(text), argparse.ArgumentTypeError)


@EXAMPLES
@given(
    words=st.lists(
        st.one_of(
            TEXTS,
            st.sampled_from(
                ["--tasks", "--limit", "-b", "--seeds", "-o", "--dose", "--arms", "--", "-"]
            ),
        ),
        max_size=6,
    )
)
def test_command_lines(words: list[str]) -> None:
    for command in ("compare", "gate"):
        left: list[object] = [0]

        def parse(command: str = command, left: list[object] = left) -> None:
            try:
                parser(command).parse_args([command, *words])
            except SystemExit as leaving:
                left.append(leaving.code)

        bounded(parse)
        assert left[-1] in (0, 2)


def scratch(factory: pytest.TempPathFactory, name: str) -> Path:
    """One folder per kind: a million folders are none of a fuzz run's business."""
    folder = factory.getbasetemp() / f"fuzz-{name}"
    folder.mkdir(exist_ok=True)
    return folder
