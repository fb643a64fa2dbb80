"""What the YAML files of the behaviour suite name: `!function utils.load`, `.process_results`.

lm-eval runs this file by its path, outside of any package, and nothing of ours needs to be
installed: the files beside it, and those of the folder above, are imported under a package name of
their own. Import them through this module (`utils.texts`, `utils.judges`, `utils.measures`), so
that a process has each once.

Metrics are per document:

* `attribute`: probability of the wanted style, from a judge. The default one (`ngrams`) is fitted
  on the texts of the task's train split alone; `classifier_report` says how well a judge does on
  the texts of the other splits. Another one takes its place with `dataset_kwargs: {file: ...,
  classifier: embedding+lexicon}` or `{..., classifier: MODEL, label: WANTED}` for a Hugging Face
  classifier, or with the same keys in the metadata (on lm-eval's command line: `--metadata
  '{"classifier": ..., "label": ...}'`).
* `content`: how much of the reference's wording the output has (sentence chrF, 0 to 1), of the
  nearest one's where there are several;
  `content_source`: how much of the input's.
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

    from task_defs.behavior_shift import judges as judges
    from task_defs.behavior_shift import measures as measures
    from task_defs.behavior_shift import outside as outside
    from task_defs.behavior_shift import texts as texts
else:
    FOLDER = Path(__file__).resolve().parent
    BESIDE = f"behavior_shift_{hashlib.sha256(str(FOLDER).encode()).hexdigest()[:8]}"
    if BESIDE not in sys.modules:
        _spec = ModuleSpec(BESIDE, None, is_package=True)
        _spec.submodule_search_locations = [str(FOLDER), str(FOLDER.parent)]
        sys.modules[BESIDE] = module_from_spec(_spec)
    texts, judges, measures, outside = (
        import_module(f"{BESIDE}.{name}") for name in ("texts", "judges", "measures", "outside")
    )

BadBehaviour = texts.BadBehaviour
NGRAMS, named = judges.NGRAMS, judges.named
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
    metrics know what judges it (the last two are empty for the default judge).

    Args:
        file: A built-in file's name, or one's own file, looked for beside the YAML file first.
        classifier: A fitted judge by name, or a Hugging Face text classification model.
        label: The label of that model which means the wanted style.
        config_source: The YAML file, as lm-eval puts it into a task's metadata.
        largest: The most pairs of the test split.
    """
    from datasets import Dataset, DatasetDict  # half a second, and most callers need no documents

    beside = Path(config_source).resolve().parent / file
    task = str(beside) if config_source != "inline" and beside.is_file() else file
    judges.check(classifier or "", label)
    judged_by = {"task": task, "classifier": classifier or "", "label": label or ""}
    several = texts.references(task)

    def document(x: str, y: str) -> dict[str, Any]:
        more = {"references": several[x]} if several else {}
        return {"input": x, "output": y, **more, **judged_by}

    return DatasetDict(
        {
            name: Dataset.from_list([document(x, y) for x, y in part])
            for name, part in split(read(task), largest).items()
        }
    )


def classifier_report(
    task: str, classifier: str = "", label: str = "", largest: int = 60
) -> dict[str, float]:
    """Measure a task's judge on the texts of the validation and test splits.

    Args:
        task: The `file` of the task.
        classifier: A fitted judge by name, or a Hugging Face text classification model; empty
            for n-grams.
        label: The label of that model which means the wanted style.
        largest: The most pairs of the test split, as the task splits them.

    Returns:
        Accuracy, calibration and more, as `judges.report` names them.
    """
    parts = split(read(task), largest)
    held_out = judges.flat([*parts["validation"], *parts["test"]])
    return dict(judges.report(judge(task, classifier, label), held_out))


@functools.lru_cache(maxsize=16)
def judge(task: str, classifier: str = "", label: str = "") -> "judges.Judge":
    """Return a judge of a task's style, fitted or loaded once per process.

    N-grams see the task's train split alone. The others see what was written for judges of the
    task beside it (`data/judge`), if anything was.

    Args:
        task: The `file` of the task.
        classifier: A fitted judge by name, or a Hugging Face text classification model; empty
            for n-grams.
        label: The label of that model which means the wanted style.
    """
    if classifier and classifier not in judges.FITTED:
        return judges.hugging_face(classifier, label)
    more = outside.written_for(task) if classifier else []
    return judges.Fitted(classifier or judges.NGRAMS, split(read(task))["train"], more)


def judge_hash(task: str) -> str:
    """Return 12 hex digits over what decides a fitted judge beside the task's own pairs.

    Args:
        task: The `file` of the task.
    """
    sources = sorted(Path(judges.__file__).parent.glob("*.py"))
    parts = [repr(outside.written_for(task)), *(path.read_text("utf-8") for path in sources)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def judge_of(doc: Mapping[str, Any]) -> "judges.Judge":
    """Return the judge that a document names, n-grams if it names none."""
    return judge(doc["task"], doc.get("classifier") or "", doc.get("label") or "")


def embedding_content(texts: Sequence[str], others: Sequence[str], encoder: str) -> list[float]:
    """Return how near texts are to their counterparts in meaning, 0 to 1; 0 without a word.

    Args:
        texts: n outputs.
        others: n references or inputs.
        encoder: A sentence encoder, hub id or folder; `minilm` takes the installed one.
    """
    found: list[float] = judges.cosines(texts, others, None if encoder == "minilm" else encoder)
    return [value if words(text) else 0.0 for value, text in zip(found, texts, strict=True)]


def attribute(text: str, doc: Mapping[str, Any]) -> float:
    """Return the probability of the wanted style; 0 for a text without a word."""
    return judge_of(doc)([text])[0] if words(text) else 0.0


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its one generated output."""
    output = str(results[0]).strip()
    wanted = doc.get("references") or [doc["output"]]
    return {
        "attribute": attribute(output, doc),
        "content": max(measures.content(output, each) for each in wanted),
        "content_source": measures.content(output, doc["input"]),
        "exact": float(output in wanted),
        **degenerate(output, doc["input"]),
        "entropy": measures.entropy(output),
        "dist_1": measures.dist(output, 1),
        "dist_2": measures.dist(output, 2),
    }
