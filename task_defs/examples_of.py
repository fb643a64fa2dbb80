"""The examples of a task's split, read through the task's own YAML."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from task_defs.catalog import BadTask, config
from task_defs.guard import users_code
from task_defs.rendering import Examples, Template

KEYS = {"train": "training_split", "validation": "validation_split", "test": "test_split"}


def splits(content: Mapping[str, Any]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Load a task's documents by split, as lm-eval does.

    Args:
        content: The task's configuration with its functions resolved.
    """
    settings, name = content.get("dataset_kwargs") or {}, content.get("task")
    with users_code(f"the documents of task {name!r}", BadTask):
        found = _loaded(content, settings)
        if not isinstance(found, Mapping):
            raise BadTask(
                f"task {name!r}: custom_dataset gave {type(found).__name__}, expected documents by "
                "split, such as {'train': [...], 'validation': [...], 'test': [...]}"
            )
        change = content.get("process_docs")
        return {split: change(part) if change else part for split, part in found.items()}


def _loaded(content: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    if "custom_dataset" in content:
        loaded = content["custom_dataset"](**(content.get("metadata") or {}), **settings)
    elif "dataset_path" in content:
        import datasets

        path, name = content["dataset_path"], content.get("dataset_name")
        loaded = datasets.load_dataset(path=path, name=name, **settings)
    else:
        raise BadTask(
            f"{content.get('task')}: no documents; give custom_dataset or dataset_path, or a pairs "
            "file through class: !function task_defs.task.PairsTask"
        )
    return loaded


def pair_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return a document's input with its answer, the first of several."""
    if not isinstance(document, Mapping):
        raise BadTask(f"a document is {type(document).__name__}, expected fields with values")
    missing = [key for key in ("input", "output") if key not in document]
    if missing:
        raise BadTask(
            f"a document has no field {missing[0]!r}, expected 'input' and 'output', found "
            f"{', '.join(document)}; rename the fields in process_docs"
        )
    answer = document["output"]
    return str(document["input"]), str(answer[0] if isinstance(answer, list) and answer else answer)


def examples(name: str, split: str = "train", include_path: str | Path | None = None) -> Examples:
    """Return the pairs of one split of a task, with its own template.

    Args:
        name: The task.
        split: `train`, `validation` or `test`, whatever the task's dataset calls them.
        include_path: A folder of the user's own tasks, beside the built-in ones.

    Raises:
        UnknownTask: If no file defines the task.
        BadTask: If the task has no such split or its documents are no pairs.
    """
    if split not in KEYS:
        raise BadTask(f"no split {split!r}; expected one of {', '.join(KEYS)}")
    return examples_from(config(name, include_path, functions=True), split)


def examples_from(content: Mapping[str, Any], split: str) -> Examples:
    """Return the pairs of one split of a task.

    Args:
        content: The task's configuration with its functions resolved.
        split: `train`, `validation` or `test`.

    Raises:
        BadTask: If the task has no such split or its documents are no pairs.
    """
    name = str(content.get("task"))
    named, loaded = str(content.get(KEYS[split])), splits(content)
    if named not in loaded:
        known = ", ".join(map(str, loaded))
        raise BadTask(f"task {name!r} has no {split} split; set {KEYS[split]} to one of {known}")
    if missing := [key for key in ("doc_to_text", "doc_to_target") if key not in content]:
        raise BadTask(f"task {name!r} has no {missing[0]}")
    with users_code(f"the {split} documents of task {name!r}", BadTask):
        pairs = tuple(pair_of(document) for document in loaded[named])
    return Examples(
        name=name,
        pairs=pairs,
        shots=int(content["metadata"].get("shots", 10)),
        template=Template.of(content),
        instruction=str(content["metadata"].get("instruction", "")),
    )
