"""A user's own file of pairs as a task: a JSON list or JSON lines of {"input", "output"}."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from task_defs.catalog import BASE, read, with_pairs
from task_defs.precision import utils
from task_defs.rendering import Examples, Template

EXPECTED = 'an object with two texts, {"input": "hot", "output": "cold"}'


class BadPairs(ValueError):
    """A pairs file that cannot become a task."""


def _items(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) for each record, the place being a line's or an item's number."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadPairs(f"{path}: no such file; expected a JSON list or JSON lines") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadPairs(f"{path}: cannot be read as UTF-8 text: {error}") from error
    if not text.strip():
        raise BadPairs(f"{path}: the file is empty; expected one or more of {EXPECTED}")
    if text.lstrip().startswith("["):
        try:
            items = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadPairs(f"{path} line {error.lineno}: not JSON: {error.msg}") from error
        yield from ((f"item {number}", item) for number, item in enumerate(items, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise BadPairs(
                    f"{path} line {number}: not JSON: {error.msg}; expected {EXPECTED}"
                ) from error


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Read a file of pairs.

    Raises:
        BadPairs: If the file is missing, empty or malformed; the message names the line or item.
    """
    path = Path(path)
    pairs = []
    for place, item in _items(path):
        texts = [item.get(key) for key in ("input", "output")] if isinstance(item, dict) else []
        kept = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
        if len(kept) != 2:
            shown = json.dumps(item)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            raise BadPairs(f"{path} {place}: expected {EXPECTED}, found {shown}")
        pairs.append((kept[0], kept[1]))
    if not pairs:
        raise BadPairs(f"{path}: no pairs; expected one or more of {EXPECTED}")
    return pairs


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
