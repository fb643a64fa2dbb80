"""lm-eval names for every steering method: `steer-fv`, `steer-icv` ...

The names are found without importing torch: the built-in ones are read from the source of
`steering.methods`, so that a method file dropped in there is enough; the others are the entry
points of the group `steergauge.methods`. A class is made when lm-eval first asks for one: the
attribute `steer_<method>` of this module. `steer-vector` takes any saved steering vector.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.lm.adapter import SteeredLM

PREFIX = "steer-"
ANY_VECTOR = "vector"


def _constant_name(statement: ast.stmt) -> str | None:
    """The value of a class attribute `name = "..."`, annotated or not."""
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return None
    named = any(isinstance(target, ast.Name) and target.id == "name" for target in targets)
    if named and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return None


def built_in() -> Iterator[str]:
    """Names of the methods in the files of `steering/methods`, read without importing them."""
    spec = find_spec("steering")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        for file in sorted((Path(folder) / "methods").glob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    yield from filter(None, map(_constant_name, node.body))


def method_names() -> tuple[str, ...]:
    """Names of all steering methods: built-in, installed, and registered in this process."""
    found = set(built_in()) | {point.name for point in entry_points(group="steergauge.methods")}
    loaded = sys.modules.get("steering")
    if loaded is not None and hasattr(loaded, "names"):
        found |= set(loaded.names())
    return tuple(sorted(found))


def register_all() -> tuple[str, ...]:
    """Register `steer-<method>` for every steering method, and `steer-vector`, with lm-eval.

    Called on `import harness`. Call it again after registering a method in the same process.

    Returns:
        The lm-eval names.

    Raises:
        ValueError: lm-eval already has another model under one of the names.
    """
    import lm_eval.models  # noqa: F401  (lm-eval fills its registry only while it is empty)
    from lm_eval.api.registry import model_registry

    names = (*method_names(), ANY_VECTOR)
    taken = dict(model_registry.items())
    for name in names:
        if not _is_ours(taken.get(PREFIX + name)):
            model_registry.register(PREFIX + name, target=f"{__name__}:steer_{name}")
    return tuple(PREFIX + name for name in names)


def _is_ours(current: object) -> bool:
    """Whether a registry entry (a path, an entry point, or the class itself) is one of ours."""
    if isinstance(current, type):
        return current.__module__.partition(".")[0] == __name__.partition(".")[0]
    path = getattr(current, "value", current)
    return isinstance(path, str) and path.startswith(f"{__name__}:")


@cache
def model_class(method_name: str) -> type[SteeredLM]:
    """The lm-eval model class that fits and uses one steering method.

    Raises:
        ValueError: no method has this name (with the nearest ones).
    """
    from harness.lm.adapter import SteeredLM

    if method_name == ANY_VECTOR:
        return SteeredLM
    from harness.lm.method_lm import MethodLM
    from steering import get

    method = get(method_name)
    body = {
        "__doc__": f"lm-eval model of a method: {method.summary}",
        "__module__": __name__,
        "alias": PREFIX + method_name,
        "method": method,
    }
    return type(f"steer_{method_name}", (MethodLM,), body)


def __getattr__(attribute: str) -> type[SteeredLM]:
    """`harness.lm.registry.steer_fv` and the like, made on demand."""
    if attribute.startswith("steer_"):
        return model_class(attribute.removeprefix("steer_"))
    raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
