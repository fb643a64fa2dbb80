"""What a task's YAML may hold, as a schema of the keys that are read here.

lm-eval knows many more keys; they pass. A value of the wrong kind is named with its place.
"""

import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, NotRequired

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

OPEN = ConfigDict(extra="allow", allow_inf_nan=False)
LONGEST = 100
"""Characters of a name: it becomes part of file names."""


def wrong_name(name: str) -> str | None:
    """Say why a task cannot have a name; None where it can.

    It becomes part of file names and of lists on the command line.
    """
    if not name or len(name.encode(errors="replace")) > LONGEST:
        return f"expected 1 to {LONGEST} bytes"
    if set(name) & set("/\\,") or name.startswith((".", "-")) or name != name.strip():
        return "expected no slash, comma or space at its ends, and no dot or dash at its beginning"
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Cf", "Zl", "Zp", "Cn") for sign in name):
        return "expected no control characters"
    return None


def _named(name: str) -> str:
    if reason := wrong_name(name):
        raise ValueError(f"{name[:40]!r} cannot be a name: {reason}")
    return name


def _field(value: Any) -> Any:
    """Refuse what neither lm-eval nor `rendering` can make a text of."""
    if not callable(value) and not isinstance(value, str | int | list):
        raise ValueError(f"expected a template or a !function, found {type(value).__name__}")
    return value


Name = Annotated[str, AfterValidator(_named)]
Field = Annotated[Any, AfterValidator(_field)]


class Member(TypedDict):
    """A task of a group with settings of its own."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    task: str


class Inner(TypedDict):
    """A group inside a group: one that is known by its name, or one written here."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    group: str
    task: "NotRequired[list[str | Member | Inner]]"


Wordings = Annotated[list[Annotated[str, Len(1)]], Len(1)]
"""Templates over a document's fields that ask it in other words."""


class Metadata(TypedDict, total=False):
    """What is known of a task beside lm-eval's keys."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    suite: Name
    headline: str
    shots: Annotated[int, Ge(0), Le(10_000)]
    instruction: str
    added_by_harness: list[str]
    wordings: Wordings | dict[str, Wordings]


class Metric(TypedDict):
    """An entry of metric_list."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    metric: str | Callable[..., Any]


class TaskFile(TypedDict, total=False):
    """A task, a group, or a base that tasks include."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    include: str | Annotated[list[str], Len(1)]
    task: Name | list[str | Member | Inner]
    group: Name
    metadata: Metadata | None
    dataset_path: str | None
    dataset_name: str | None
    dataset_kwargs: dict[str, Any] | None
    custom_dataset: str | Callable[..., Any]
    process_docs: str | Callable[..., Any] | None
    training_split: str | None
    validation_split: str | None
    test_split: str | None
    fewshot_split: str | None
    fewshot_config: dict[str, Any] | None
    doc_to_text: Field
    doc_to_target: Field
    description: Field | None
    target_delimiter: str
    fewshot_delimiter: str
    output_type: str
    metric_list: list[Metric] | None
    aggregate_metric_list: list[Metric] | Metric | None


_SHAPE = TypeAdapter(TaskFile)


def wrong_value(content: Any) -> str | None:
    """Say what is wrong in a task's configuration; None where nothing is."""
    try:
        _SHAPE.validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = _place(first["loc"], content)
        said = first["msg"].removeprefix("Value error, ")
        return " ".join(f"{place or 'the file'}: {said}".split())[:300]
    return None


def _place(keys: tuple[int | str, ...], content: Any) -> str:
    """Name a place by its keys alone: names of schemas stand between them."""
    found = []
    for key in keys:
        if isinstance(content, dict | list):
            try:
                content = content[key]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                continue
            found.append(str(key))
    return ".".join(found)
