"""What a Python source names: modules, files that it reads, and variables of the environment."""

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""Endings of variables that open doors and decide no number."""

DEEPEST, MOST, LONGEST = 3, 64, 200
"""Folders one below the other, and all folders, that a file is looked for in; a name's letters."""


@dataclass(frozen=True)
class Source:
    """What a source names.

    Attributes:
        imports: Dotted names in its import statements.
        modules: Those that it imports by a string.
        texts: Its strings that can name a file which it reads, or a folder.
        environment: Variables that it reads.
    """

    imports: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    def files(self, path: Path) -> Iterator[Path]:
        """Yield the files that the source can mean: beside it, one folder up, or where it runs.

        Args:
            path: The source's own file.
        """
        for place in (root / text for root in self.folders(path) for text in self.texts):
            if place.suffix and _is(place.is_file):
                yield place.resolve()

    def folders(self, path: Path) -> list[Path]:
        """Return the folders that the source can mean, its own the first.

        Args:
            path: The source's own file.
        """
        found = dict.fromkeys([path.parent, path.parent.parent, Path.cwd()])
        for _ in range(DEEPEST):
            below = [root / text for root in found for text in self.texts]
            found.update(dict.fromkeys(place for place in below if _is(place.is_dir)))
            found = dict.fromkeys(list(found)[:MOST])
        return list(found)


@functools.lru_cache(maxsize=512)
def source_of(content: bytes) -> Source:
    """Read a source; one that is no Python names nothing."""
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):
        return Source()
    texts = dict.fromkeys(_names(nodes))
    for text in _written(nodes):
        texts.pop(text, None)
    return Source(
        imports=tuple(dict.fromkeys(_imports(nodes))),
        modules=tuple(dict.fromkeys(_modules(nodes))),
        texts=tuple(texts),
        environment=tuple(dict.fromkeys(_environment(nodes))),
    )


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a folder that may not be read, a name that is too long
        return False


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            own = node.module or ""
            dotted = [own, *(f"{own}.{alias.name}".lstrip(".") for alias in node.names)]
            yield from filter(None, dotted)


def _modules(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call) and _last(node.func) in ("import_module", "__import__"):
            yield from (name.lstrip(".") for name in _texts(node.args[:1]) if name.strip("."))


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The strings that can be a path; one that follows a folder in an f-string begins with /."""
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        for text in _texts([node]):
            name = text.lstrip("/") if id(node) in inside else text
            if 0 < len(name) <= LONGEST and name.isprintable():
                yield name


def _written(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The strings by which files are written: what a source leaves behind decides no number."""
    assigned = {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        if isinstance(node, ast.Call) and _writes(node):
            inside = list(ast.walk(node))
            used = [assigned[n.id] for n in inside if isinstance(n, ast.Name) if n.id in assigned]
            yield from _texts([*inside, *(each for value in used for each in ast.walk(value))])


def _writes(call: ast.Call) -> bool:
    name = _last(call.func)
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [text for text in _texts(given) if len(text) < 4 and set(text) & set("wax+")]
    opened = name == "open" and bool(modes)
    return opened or name in ("write_text", "write_bytes", "touch", "mkdir", "to_csv", "to_json")


def _environment(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        asked: list[ast.AST] = []
        if isinstance(node, ast.Call):
            of_it = isinstance(node.func, ast.Attribute) and _last(node.func.value) == "environ"
            asked = [*node.args[:1]] if of_it or _last(node.func) == "getenv" else []
        elif isinstance(node, ast.Subscript) and _last(node.value) == "environ":
            asked = [node.slice]
        elif isinstance(node, ast.Compare) and _last(node.comparators[0]) == "environ":
            asked = [node.left]
        yield from (name for name in _texts(asked) if not name.upper().endswith(SECRETS))


def _last(node: ast.AST) -> str:
    """The name that an expression ends with."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
