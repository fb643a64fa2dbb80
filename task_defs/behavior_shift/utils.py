"""What the YAML files of the behaviour suite name: `!function utils.load`, `.process_results`.

lm-eval runs this file by its path, outside of any package, and nothing of ours needs to be
installed: the files beside it are imported under a package name of their own. Import them through
this module (`utils.texts`, `utils.judge`, `utils.measures`), so that a process has each once.

Metrics are per document:

* `attribute`: probability of the wanted style. The default classifier works offline: it is fitted
  on the texts of the task's train split alone, and `classifier_report` says how well it does on
  the texts of the other splits. A Hugging Face classifier takes its place with
  `dataset_kwargs: {file: ..., classifier: MODEL, label: WANTED}`, or with the same two keys in
  the metadata (on lm-eval's command line: `--metadata '{"classifier": ..., "label": ...}'`).
* `content`: how much of the reference's wording the output has (sentence chrF, 0 to 1).
* beside them: `exact`, `empty`, `copy`, `repetition`, `entropy`, `dist_1`, `dist_2`.

Fluency needs the unsteered model; the harness adds it, and with it `joint`, the headline.
"""

import functools
import hashlib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import DatasetDict

    from task_defs.behavior_shift import judge, measures, texts
else:
    FOLDER = Path(__file__).resolve().parent
    BESIDE = f"behavior_shift_{hashlib.sha256(str(FOLDER).encode()).hexdigest()[:8]}"
    if BESIDE not in sys.modules:
        _spec = ModuleSpec(BESIDE, None, is_package=True)
        _spec.submodule_search_locations = [str(FOLDER)]
        sys.modules[BESIDE] = module_from_spec(_spec)
    texts, judge, measures = (
        import_module(f"{BESIDE}.{name}") for name in ("texts", "judge", "measures")
    )

BadBehaviour = texts.BadBehaviour
DATA, SPLITS = texts.DATA, texts.SPLITS
read, split, words = texts.read, texts.split, texts.words
degenerate = measures.degenerate


def load(
    *,
    file: str,
    classifier: str | None = None,
    label: str | None = None,
    config_source: str = "inline",
    largest: int = 60,
    **_: object,
) -> "DatasetDict":
    """Return a task's splits as lm-eval's documents; it passes metadata and model arguments too.

    Beside `input` and `output` a document has `task`, `classifier` and `label`, by which its
    metrics know what judges it (the last two are empty for the default classifier).

    Args:
        file: A built-in file's name, or one's own file, looked for beside the YAML file first.
        classifier: A Hugging Face text classification model in place of the default.
        label: The label of that model which means the wanted style.
        config_source: The YAML file, as lm-eval puts it into a task's metadata.
        largest: The most pairs of the test split.
    """
    from datasets import Dataset, DatasetDict  # half a second, and most callers need no documents

    beside = Path(config_source).resolve().parent / file
    task = str(beside) if config_source != "inline" and beside.is_file() else file
    if classifier is not None:
        judge.check_label(classifier, label)
    judged_by = {"task": task, "classifier": classifier or "", "label": label or ""}
    return DatasetDict(
        {
            name: Dataset.from_list([{"input": x, "output": y, **judged_by} for x, y in part])
            for name, part in split(read(task), largest).items()
        }
    )


@functools.lru_cache(maxsize=16)
def classifier(task: str) -> "judge.Offline":
    """Return a task's default classifier, fitted on its train split once per process.

    Args:
        task: The `file` of the task.
    """
    return judge.Offline(split(read(task))["train"])


def classifier_report(
    task: str, classifier_name: str | None = None, label: str | None = None
) -> dict[str, float]:
    """Measure a task's classifier on the texts of the validation and test splits.

    Args:
        task: The `file` of the task.
        classifier_name: A Hugging Face text classification model in place of the default.
        label: The label of that model which means the wanted style.

    Returns:
        Accuracy, calibration and more, as `judge.report` names them.
    """
    parts = split(read(task))
    chosen = judge_of({"task": task, "classifier": classifier_name or "", "label": label or ""})
    return judge.report(chosen, [*parts["validation"], *parts["test"]])


def judge_of(doc: Mapping[str, Any]) -> "judge.Judge":
    """Return the classifier that a document names, the default one if it names none."""
    if doc.get("classifier"):
        return judge.hugging_face(doc["classifier"], doc["label"])
    return classifier(doc["task"])


def attribute(text: str, doc: Mapping[str, Any]) -> float:
    """Return the probability of the wanted style; 0 for a text without a word."""
    return judge_of(doc)([text])[0] if words(text) else 0.0


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its one generated output."""
    output = str(results[0]).strip()
    return {
        "attribute": attribute(output, doc),
        "content": measures.content(output, doc["output"]),
        "exact": float(output == doc["output"]),
        **degenerate(output, doc["input"]),
        "entropy": measures.entropy(output),
        "dist_1": measures.dist(output, 1),
        "dist_2": measures.dist(output, 2),
    }
