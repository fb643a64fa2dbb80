"""The source of the functions that a task names: an edited one makes another task of it.

What counts is the file that defines a function, and every file of the same folder (or below it)
that this file imports, wherever in the code, however often removed.
"""

import ast
import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

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
    """12 hex digits over the source of a function or class and of what it imports beside it.

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
    content = [[str(file.relative_to(path.parent)), file.read_bytes().hex()] for file in files]
    return _digest([path.name, content])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _closure(
    path: Path, names: Mapping[str, Any], folder: Path, seen: dict[Path, None]
) -> dict[Path, None]:
    """A file and those of its folder that it imports: as written, and as loaded."""
    seen[path] = None
    loaded = dict(_loaded(names))
    for file in [*loaded, *_imported(path, folder)]:
        if file not in seen and file.is_relative_to(folder) and file.suffix == ".py":
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
    """The files of a folder that a file's import statements can mean."""
    for name in _import_names(path.read_bytes()):
        parts = name.split(".")
        for start in range(len(parts)):  # a package may call the folder by its own name
            place = folder.joinpath(*parts[start:])
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    yield file.resolve()


@functools.lru_cache(maxsize=512)
def _import_names(source: bytes) -> tuple[str, ...]:
    """Every dotted name in a source's import statements; none where it is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            own = node.module or ""
            dotted = [own, *(f"{own}.{alias.name}".lstrip(".") for alias in node.names)]
            found.update(dict.fromkeys(filter(None, dotted)))
    return tuple(found)
