"""A measurement's name covers the task: whatever is edited in it is measured anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import task_defs
from harness.lm.loading import load
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from harness.tuning.searches import Searches
from harness.tuning.trials import searched as searched_space
from steering.method import Examples
from tests.task_defs.tiny_classifier import save_classifier

YAML = """
task: colours
custom_dataset: !function utils.load
training_split: train
validation_split: validation
test_split: test
fewshot_split: train
output_type: generate_until
doc_to_text: !function utils.question
doc_to_target: "{{output}}"
process_results: !function utils.process_results
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
filter_list:
  - name: first
    filter: [{function: take_first}]
metric_list:
  - {metric: hit, aggregation: mean, higher_is_better: true}
metadata: {suite: own, headline: hit, shots: 2, version: 1.0}
"""
UTILS = """
import json
from pathlib import Path

from datasets import Dataset, DatasetDict

{imported}

def load(**_):
    rows = json.loads((Path(__file__).parent / "rows.json").read_text())
    return DatasetDict({{name: Dataset.from_list(part) for name, part in rows.items()}})


def question(doc):
    return f"Q: {{doc['input']}}\\nA:"


def process_results(doc, results):
    return {{"hit": helper.score(doc, results[0])}}
"""
HELPER = """
def score(doc, text):
    return float(doc["output"] in text)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "colours.yaml").write_text(YAML)
    (folder / "utils.py").write_text(UTILS.format(imported=IMPORTS["by path"]))
    (folder / "helper.py").write_text(HELPER)
    (folder / "aside.py").write_text("UNUSED = 1\n")
    rows = [{"input": f"in{i}", "output": f"out{i}"} for i in range(8)]
    parts = dict.fromkeys(("train", "validation", "test"), rows)
    (folder / "rows.json").write_text(json.dumps(parts))
    return folder


IMPORTS = {
    "by path": "import sys\nsys.path.insert(0, str(Path(__file__).parent))\nimport helper\n"
    "sys.path.pop(0)\nsys.modules.pop('helper')",
    "by name": "import importlib.util\n"
    "_spec = importlib.util.spec_from_file_location('aid', Path(__file__).parent / 'helper.py')\n"
    "helper = importlib.util.module_from_spec(_spec)\n_spec.loader.exec_module(helper)",
}
EDITS: dict[str, tuple[str, str, str]] = {
    "process_results": ("utils.py", "results[0])}", "results[0] + '')}"),
    "doc_to_text": ("utils.py", "\\nA:", "\\nB:"),
    "what utils imports": ("helper.py", "float(", "2 * float("),
    "generation_kwargs": ("colours.yaml", "max_gen_toks: 4", "max_gen_toks: 5"),
    "filters": ("colours.yaml", "function: take_first", "function: lowercase"),
    "metric_list": ("colours.yaml", "aggregation: mean", "aggregation: median"),
    "direction": ("colours.yaml", "higher_is_better: true", "higher_is_better: false"),
    "target": ("colours.yaml", '"{{output}}"', '"{{output}}!"'),
    "delimiter": ("colours.yaml", "fewshot_split: train", 'fewshot_split: train\ndescription: "x"'),
    "documents": ("rows.json", "out3", "out33"),
}


def edited(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


@pytest.mark.parametrize("imports", IMPORTS)
@pytest.mark.parametrize("what", EDITS)
def test_an_edit_is_another_task(folder: Path, what: str, imports: str) -> None:
    (folder / "utils.py").write_text(UTILS.format(imported=IMPORTS[imports]))
    before = Sources(str(folder)).fingerprint("colours")
    assert Sources(str(folder)).fingerprint("colours") == before
    edited(folder, *EDITS[what])
    assert Sources(str(folder)).fingerprint("colours") != before


def test_what_the_task_does_not_use_is_no_part_of_it(folder: Path, tmp_path: Path) -> None:
    before = Sources(str(folder)).fingerprint("colours")
    edited(folder, "aside.py", "1", "2")
    assert Sources(str(folder)).fingerprint("colours") == before
    moved = folder.rename(tmp_path / "elsewhere")
    assert Sources(str(moved)).fingerprint("colours") == before


USES: dict[str, tuple[str, str]] = {
    "a module of another folder": (
        "import sys\nsys.path.insert(0, str(Path(__file__).parents[1] / 'beside'))\nimport cm\n"
        "sys.path.pop(0)\nsys.modules.pop('cm')",
        "cm.WORDS",
    ),
    "a module by a string": (
        "import importlib, sys",
        "[sys.path.insert(0, str(Path(__file__).parents[1] / 'beside')),"
        " importlib.import_module('cm').WORDS, sys.path.pop(0)][1]",
    ),
    "a file at import": (
        "HERE = Path(__file__).parent\nWORDS = (HERE / 'lists' / 'words.txt').read_text()",
        "WORDS",
    ),
    "a file when it scores": ("", "open(f'{Path(__file__).parent}/lists/words.txt').read()"),
    "a variable": ("import os", "os.environ.get('WORDS', '')"),
    "a variable at import": ("from os import getenv\nWORDS = getenv('WORDS')", "WORDS"),
}


@pytest.mark.parametrize("what", USES)
def test_what_its_functions_use_is_part_of_it(
    folder: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported, value = USES[what]
    code = UTILS.format(imported=imported)
    (folder / "utils.py").write_text(code.replace("helper.score(", f"len({value}) * float("))

    def write(text: str) -> None:
        for place in (folder.parent / "beside" / "cm.py", folder / "lists" / "words.txt"):
            place.parent.mkdir(exist_ok=True)
            place.write_text(f"WORDS = {text!r}")
        monkeypatch.setenv("WORDS", text)

    write("one")
    before = Sources(str(folder)).fingerprint("colours")
    assert Sources(str(folder)).fingerprint("colours") == before
    write("another")
    assert Sources(str(folder)).fingerprint("colours") != before


def test_what_its_functions_write_and_secrets_are_no_part_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = "import os\nL = Path(__file__).parent / 'log.txt'\nwith L.open('a') as f: f.write('.')"
    code = UTILS.format(imported=log).replace("helper.score(", "len(os.environ['A_KEY']) * float(")
    (folder / "utils.py").write_text(code)
    monkeypatch.setenv("A_KEY", "one")
    before = Sources(str(folder)).fingerprint("colours")
    monkeypatch.setenv("A_KEY", "two")
    assert Sources(str(folder)).fingerprint("colours") == before


def test_a_judge_in_a_folder_is_part_of_it(tmp_path: Path) -> None:
    judge = save_classifier(tmp_path / "judge")

    def asked() -> str:
        return Sources(judges=("ngrams", f"hf:{judge}:kind")).fingerprint("sentiment_transfer")

    before = asked()
    edited(judge, "config.json", '"kind"', '"nice"')
    assert asked() != before


def test_output_type_is_part_of_it(folder: Path) -> None:
    before = Sources(str(folder)).fingerprint("colours")
    edited(folder, "colours.yaml", "output_type: generate_until", "output_type: loglikelihood")
    assert Sources(str(folder)).fingerprint("colours") != before


def test_a_file_written_by_the_user_changes_what_is_fitted(folder: Path) -> None:
    def examples() -> Examples:
        return task_defs.examples("colours", "train", folder)

    before = examples().fingerprint()
    edited(folder, "helper.py", "float(", "2 * float(")
    assert examples().fingerprint() != before


@pytest.mark.parametrize("what", ["process_results", "what utils imports", "documents"])
def test_searches_and_measurements_are_made_anew(
    checkpoint: Path, folder: Path, tmp_path: Path, what: str
) -> None:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    arm = Arm("icv", method="icv")

    def session() -> Session:
        return Session(lm, "hf", {}, Sources(str(folder)))

    searched: list[str] = []

    def search(make: Callable[[], Session]) -> str:
        own = make()
        spec = own.spec("colours", arm, budget=1)
        tuner = Tuner(own, tmp_path)
        tuner.searches = Searches(tmp_path / "searches")
        inner, space = tuner.search, searched_space(str(arm.method), own.lm.model)

        def noted() -> object:
            searched.append(spec.run_id)
            return inner(spec)

        path = tmp_path / "searches" / f"{tuner.searches._key(spec, space)}.json"
        if not path.exists():
            noted()
        return spec.run_id

    first = search(session)
    assert search(session) == first
    assert len(searched) == 1
    edited(folder, *EDITS[what])
    assert search(session) != first
    assert len(searched) == 2
