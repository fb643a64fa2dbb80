"""The source of the functions that a task names: an edited one makes another task of it.

What counts is the file that defines a function and what it uses: every file of the same folder (or
below it) that it imports, wherever in the code, however often removed. Of a user's own code it is
his files in other folders too, the files that his code names (`named.py`), and the values of the
environment variables that it reads.
"""

import functools
import hashlib
import inspect
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from task_defs.guard import LIBRARIES, OWN
from task_defs.named import source_of

PLACES = ("config_source", "dataset_kwargs", "dataset_path", "dataset_name")
"""Keys that say where documents lie; what lies there is another question."""


def spelled(value: Any) -> Any:
    """Plain data that differs wherever a configuration, or a function in it, does.

    Args:
        value: A task's configuration, or a part of it.
    """
    if isinstance(value, str | int | float | None):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return spelled({each.name: getattr(value, each.name) for each in fields(value)})
    if isinstance(value, Mapping):
        own = {str(key): spelled(part) for key, part in value.items() if key not in PLACES}
        return dict(sorted(own.items()))
    if isinstance(value, list | tuple):
        return [spelled(part) for part in value]
    if isinstance(value, functools.partial):
        return ["partial", spelled(value.func), spelled(value.args), spelled(value.keywords)]
    if callable(value):
        return [getattr(value, "__qualname__", type(value).__qualname__), code_of(value)]
    return repr(value)


def code_of(function: Any) -> str:
    """12 hex digits over the source of a function or class and of what it uses.

    Those of its qualified name where nobody has the source.
    """
    kept = inspect.unwrap(function) if callable(function) else function
    kept = getattr(kept, "__func__", kept)
    if not (inspect.isclass(kept) or inspect.isfunction(kept)):
        kept = type(kept)
    module = sys.modules.get(kept.__module__)
    names = getattr(kept, "__globals__", None) or vars(module or kept)
    place = names.get("__file__")
    if place is None or not Path(place).is_file():
        return _digest([kept.__module__, kept.__qualname__])
    path = Path(place).resolve()
    files = sorted(_closure(path, names, path.parent, {}))
    content = [[os.path.relpath(file, path.parent), file.read_bytes().hex()] for file in files]
    return _digest([path.name, content, *_beside(files, path.parent)])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _beside(files: list[Path], folder: Path) -> list[Any]:
    """What a user's sources read that is no source: files that they name, and the environment."""
    sources = [(file, source_of(file.read_bytes())) for file in files if _users(file)]
    named = {each for file, source in sources for each in source.files(file)} - set(files)
    read = {name for _, source in sources for name in source.environment}
    found = [
        *([os.path.relpath(file, folder), content_of(file)] for file in sorted(named)),
        *([name, os.environ[name]] for name in sorted(read & os.environ.keys())),
    ]
    return [found] if found else []


def content_of(file: Path) -> str:
    """The sha256 of a file's content, or why it cannot be read."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as problem:
        return str(problem.strerror)


def _users(file: Path) -> bool:
    """Whether a file is neither ours nor of an installed package."""
    return not any(place in file.parents for place in (*OWN, *LIBRARIES))


def _closure(
    path: Path, names: Mapping[str, Any], folder: Path, seen: dict[Path, None]
) -> dict[Path, None]:
    """A file and what it imports of its folder, or of the user: as written, and as loaded."""
    seen[path] = None
    loaded = dict(_loaded(names))
    for file in [*loaded, *_imported(path, folder)]:
        own = file.is_relative_to(folder) or (_users(path) and _users(file))
        if file not in seen and own and file.suffix == ".py" and file.is_file():
            _closure(file, loaded.get(file, {}), folder, seen)
    return seen


def _loaded(names: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The files behind a module's names, with the names of their modules."""
    for value in list(names.values()):
        module = value if inspect.ismodule(value) else _home(value)
        place = getattr(module, "__file__", None)
        if place:
            yield Path(place).resolve(), vars(module)


def _home(value: Any) -> Any:
    """The module that defines a function or class."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return sys.modules.get(str(getattr(value, "__module__", None)))
    return None


def _imported(path: Path, folder: Path) -> Iterator[Path]:
    """The files that a file's imports can mean: of a folder, and where a user's file looks."""
    source, own = source_of(path.read_bytes()), _users(path)
    names = [*source.imports, *(source.modules if own else ())]
    places = [folder, *(source.folders(path) if own and names else ())]
    for root, name in itertools.product(places, names):
        parts = name.split(".")
        for start in range(len(parts)):  # a package may call the folder by its own name
            place = root.joinpath(*parts[start:])
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    yield file.resolve()
