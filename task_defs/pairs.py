"""A user's own file of pairs as a task: a JSON list or JSON lines of {"input", "output"}."""

import json
from pathlib import Path
from typing import Any

from task_defs.catalog import BASE, read, with_pairs
from task_defs.files import Unreadable, json_values, read_text
from task_defs.precision import utils
from task_defs.rendering import Examples, Template
from task_defs.schema import wrong_name

EXPECTED = 'an object with two texts, {"input": "hot", "output": "cold"}'


class BadPairs(ValueError):
    """A pairs file that cannot become a task."""


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Read a file of pairs.

    Raises:
        BadPairs: If the file is missing, empty or malformed; the message names the line or item.
    """
    path, pairs = Path(path), []
    try:
        text = read_text(path)
        if not text.strip():
            raise Unreadable(f"the file is empty; expected one or more of {EXPECTED}")
        for place, item in json_values(text):
            pairs.append(_pair(item, place))
    except Unreadable as error:
        said = str(error)
        more = "" if EXPECTED in said else f"; expected {EXPECTED}, as JSON lines or one JSON list"
        place = " " if said.startswith(("line ", "item ")) else ": "
        raise BadPairs(f"{path}{place}{said}{more}") from error
    if not pairs:
        raise BadPairs(f"{path}: no pairs; expected one or more of {EXPECTED}")
    return pairs


def _pair(item: Any, place: str) -> tuple[str, str]:
    texts = [item.get(key) for key in ("input", "output")] if isinstance(item, dict) else []
    kept = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    if len(kept) != 2 or any("\ud800" <= sign <= "\udfff" for text in kept for sign in text):
        shown = json.dumps(item)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise Unreadable(f"{place}: expected {EXPECTED}, found {shown}")
    return kept[0], kept[1]


def load(
    *, file: str, shots: int = 10, config_source: str = "inline", largest: int = 60, **_: object
) -> Any:
    """Return a pairs file as split documents; lm-eval calls it for a task on a pairs file.

    Args:
        file: The pairs file; a relative one is looked for beside the YAML file first.
        shots: Demonstrations per few-shot prompt, which the train split must provide.
        config_source: The YAML file, as lm-eval puts it into a task's metadata.
        largest: The most pairs of the test split.
    """
    beside = Path(config_source).parent / file
    path = beside if config_source != "inline" and beside.is_file() else Path(file)
    pairs = read_pairs(path)
    parts = utils.split(pairs, largest)
    if len(parts["train"]) <= int(shots):
        raise BadPairs(
            f"{path}: {len(pairs)} pairs leave {len(parts['train'])} for training, expected more "
            f"than {shots} for {shots} shots; add pairs or lower shots in the task's metadata"
        )
    for name in ("validation", "test"):
        if not parts[name]:
            raise BadPairs(
                f"{path}: no pairs for the {name} split, since shared words join the pairs and "
                "must not straddle; add pairs with words of their own"
            )
    return utils.documents(pairs, largest)


def pairs_task(
    path: str | Path, name: str | None = None, shots: int = 10, largest: int = 60
) -> dict[str, Any]:
    """Return a pairs file as a task for `simple_evaluate(tasks=[...])`.

    Args:
        path: The pairs file.
        name: The task's name; the file's by default.
        shots: Demonstrations per few-shot prompt.
        largest: The most pairs of the test split.

    Raises:
        BadPairs: If the file cannot become a task.
    """
    path = Path(path).resolve()
    if reason := wrong_name(name or path.stem):
        raise BadPairs(
            f"{path}: {(name or path.stem)[:40]!r} cannot name a task: {reason}; rename it"
        )
    settings = {"file": str(path), "largest": largest}
    load(shots=shots, **settings)  # type: ignore[arg-type]
    given = {
        "task": name or path.stem,
        "dataset_kwargs": settings,
        "metadata": {"shots": shots},
    }
    return with_pairs(given, functions=True)


def pairs_file(
    path: str | Path,
    split: str = "train",
    name: str | None = None,
    shots: int = 10,
    largest: int = 60,
) -> Examples:
    """Return one split of a pairs file, worded like the precision suite.

    Raises:
        BadPairs: If the file cannot become a task.
    """
    path = Path(path)
    if split not in utils.SPLITS:
        raise BadPairs(f"no split {split!r}; expected one of {', '.join(utils.SPLITS)}")
    part = load(file=str(path.resolve()), shots=shots, largest=largest)[split]
    return Examples(
        name=name or path.stem,
        pairs=tuple(zip(part["input"], part["output"], strict=True)),
        shots=shots,
        template=Template.of(read(BASE)),
    )
