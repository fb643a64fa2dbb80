"""What a published protocol is, as data, and what it makes of a task and of an arm's settings."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.errors import UsageError

Shape = tuple[int, int, int]
"""Of a model: blocks (l), query heads of a block (h), width of the residual stream (d)."""


class Said(NamedTuple):
    """What a paper sets, and where it says so.

    Attributes:
        source: Section or file.
        values: The value; of several, one is chosen on validation. A function of the model's shape
            stands for a rule.
    """

    source: str
    values: tuple[Any, ...]

    def spelled(self) -> str:
        """The values for people; of a rule, what its function says of itself."""
        return ", ".join(map(_spelled, self.values))

    def on(self, shape: Shape) -> tuple[Any, ...]:
        """The values for a model."""
        return tuple(value(*shape) if callable(value) else value for value in self.values)


def _spelled(value: Any) -> str:
    if callable(value):
        return str(inspect.getdoc(value)).partition("\n")[0]
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return ", ".join(str(each["metric"]) for each in value)
    return repr(value)


def said(source: str, *values: Any) -> Said:
    """Note a value, or several, with its source."""
    return Said(source, values)


Settings = Mapping[str, Said]
"""Of a method by name; or of a task by the place in its YAML, such as `metadata.shots`."""


@dataclass(frozen=True)
class Part:
    """What a protocol sets for the tasks of one suite.

    Attributes:
        tasks: Measured where nobody names any.
        arms: Likewise.
        task: What stands in the tasks' YAML instead of their own.
        methods: Settings by method. Controls take those of their method.
        shapes: Other settings by method, on models of a shape.
    """

    tasks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    task: Settings = field(default_factory=dict)
    methods: Mapping[str, Settings] = field(default_factory=dict)
    shapes: Mapping[Shape, Mapping[str, Settings]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How a paper measured.

    Attributes:
        name: On the command line.
        paper: Authors, venue and number.
        code: Where its code lies.
        parts: By suite.
        defects: What the paper's own code does and should not, by suite: taken only as published.
        opening: Whether the tokenizer's opening token is put before prompts where it has one and
            does not put it there itself.
        beside: Metrics beside the tasks' own (`measuring.first_token`).
        filtered_by: The prompting whose rightly answered documents are the filter set.
        departures: In what a measurement still departs from the paper's, in sentences.
        as_published: Whether the defects are taken.
    """

    name: str
    paper: str
    code: str
    parts: Mapping[str, Part]
    defects: Mapping[str, Part]
    opening: bool = False
    beside: tuple[str, ...] = ()
    filtered_by: str | None = None
    departures: tuple[str, ...] = ()
    as_published: bool = False

    def published(self) -> Protocol:
        """The protocol with the defects of the paper's code."""
        parts = {suite: _with(part, self.defects.get(suite)) for suite, part in self.parts.items()}
        return dataclasses.replace(self, parts=parts, as_published=True)

    def part(self, suite: str) -> Part:
        """What is set for a suite; files of pairs are asked as the precision suite is.

        Raises:
            UsageError: the paper has no such tasks.
        """
        found = self.parts.get("precision" if suite == "pairs" else suite)
        if found is None:
            raise UsageError(
                f"--protocol {self.name} sets nothing for tasks of {suite!r}; its suites: "
                f"{', '.join(self.parts)}"
            )
        return found

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task."""
        return tuple(task for part in self.parts.values() for task in part.tasks)

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm, each once."""
        return tuple(dict.fromkeys(arm for part in self.parts.values() for arm in part.arms))

    def asks(self, suite: str, arm: str) -> bool:
        """Whether an arm is measured on a suite: the paper's arms where the paper does."""
        return arm in self.part(suite).arms or arm not in self.arms

    def require(self, suite: str, methods: Iterable[str | None]) -> None:
        """Refuse a method of which the paper says nothing.

        Raises:
            UsageError: with its name.
        """
        known = self.part(suite).methods
        for method in methods:
            if method is not None and method not in known:
                raise UsageError(
                    f"--protocol {self.name} sets nothing for the method {method!r} on {suite}; "
                    f"leave it out, name {method}:default for its own published settings, or one "
                    f"of: {', '.join(known)}"
                )

    def given(self, suite: str, method: str, shape: Shape) -> tuple[tuple[str, Any], ...]:
        """A method's settings with their values, sorted by name.

        Args:
            suite: Of the task.
            method: The method, or the one that a control is matched to.
            shape: Of the model.

        Raises:
            UsageError: the paper does not have the method.
        """
        part = self.part(suite)
        self.require(suite, [method])
        own = {**part.methods[method], **part.shapes.get(shape, {}).get(method, {})}
        return tuple((name, each.on(shape)) for name, each in sorted(own.items()))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Every setting: the protocol, what is set, its value, and the source."""
        found = []
        for suite, part in self.parts.items():
            every = {"tasks": said(self.paper, *part.tasks), "arms": said(self.paper, *part.arms)}
            every |= _flat(part)
            lacks = _flat(self.defects.get(suite, Part()))
            every |= {f"{what} (as published)": each for what, each in lacks.items()}
            found += [(f"{suite}: {what}", each) for what, each in every.items()]
        return [(self.name, what, each.spelled(), each.source) for what, each in found]

    def described(self) -> dict[str, Any]:
        """For the record and the report: names; what decides numbers is in the spec."""
        names = ("name", "paper", "as_published", "filtered_by")
        return {name: getattr(self, name) for name in names}


def _flat(part: Part) -> dict[str, Said]:
    """What a part sets, in one mapping."""
    found = dict(part.task)
    for method, own in part.methods.items():
        found |= {f"{method}: {name}": each for name, each in own.items()}
    for shape, methods in part.shapes.items():
        for method, own in methods.items():
            model = " x ".join(map(str, shape))
            found |= {f"{method}: {name} ({model})": each for name, each in own.items()}
    return found


def _with(part: Part, more: Part | None) -> Part:
    if more is None:
        return part
    methods = {
        method: {**own, **more.methods.get(method, {})} for method, own in part.methods.items()
    }
    return dataclasses.replace(part, task={**part.task, **more.task}, methods=methods)


def changed(
    content: Mapping[str, Any], settings: Settings, loader: Callable[..., Any] | None
) -> dict[str, Any]:
    """What stands in a task's YAML instead of its own keys.

    Args:
        content: The YAML.
        settings: By place; `dataset_kwargs.X` is left out, with a word, where the task's loading
            function takes no X.
        loader: That function.

    Returns:
        The keys that change, whole.
    """
    found: dict[str, Any] = {}
    for place, setting in settings.items():
        key, dot, inner = place.partition(".")
        (value,) = setting.values
        if key == "dataset_kwargs" and not _takes(loader, inner):
            logging.getLogger(__name__).warning(
                "task %s loads its documents by itself; %s stays as it is",
                content.get("task"), inner,
            )  # fmt: skip
        elif dot:
            whole = found.setdefault(key, copy.copy(content.get(key) or {}))
            whole[inner] = value
        else:
            found[key] = copy.deepcopy(value)
    return found


def _takes(loader: Callable[..., Any] | None, name: str) -> bool:
    return callable(loader) and name in inspect.signature(loader).parameters


SET = (
    "metric", "fit_on", "budget", "dose", "frame", "apply_chat_template", "no_chat_template",
    "chat_template", "system_instruction", "fewshot_as_multiturn", "gen_kwargs",
)  # fmt: skip
"""Options that a protocol takes the place of."""


def refuse(protocol: Protocol, given: Mapping[str, Any]) -> None:
    """Refuse what is given beside a protocol that sets it.

    Args:
        protocol: The protocol.
        given: Values by option, where nobody gives one None, False, empty or `default`.

    Raises:
        UsageError: with the option.
    """
    for word in SET:
        if given.get(word) not in (None, False, {}, "default"):
            raise UsageError(
                f"--protocol {protocol.name} sets {word} as the paper did; leave {word} out, or "
                "measure without the protocol"
            )
