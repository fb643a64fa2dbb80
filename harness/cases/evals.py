"""Evaluations as data: what an `*.eval.yaml` file or a marker asks, and where it is measured.

Such a file::

    tasks: [antonym, present-past]     # or suite: precision; or data: my-pairs.json
    arms: [zero_shot, fv, icv]         # default: those of `steergauge compare`
    seeds: [0]
    limit: 100
    chat_template: auto                # or always, never; system_instruction, fewshot_as_multiturn
    at_least: {fv: 0.6}                # headline metric; at most, where lower is better
    side_effects: [wikitext]           # every vector on these too

A task of lm-eval's own, on files instead of the hub, ranked by a metric of one's choice::

    tasks: gsm8k
    dataset: gsm8k=data/gsm8k          # TASK=PATH or TASK:ROLE=PATH; a list for several
    metric: exact_match,flexible-extract
    fit_on: sentiment_transfer         # default: the task's own examples

Its paths are relative to its folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Le, Len, Lt
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Strict,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict

import task_defs
from harness.comparing.choice import choose_arms, choose_side
from harness.errors import UsageError
from harness.measuring.asking import DOSES, PLAINLY, Asking, default_frame
from harness.measuring.changes import AskedTwice
from harness.measuring.judging import read_judges
from harness.measuring.sources import Sources
from harness.measuring.spec import BARE, resolved
from harness.protocols import Protocol, named, refuse
from task_defs.files import Unreadable
from task_defs.yaml_files import read_yaml

if TYPE_CHECKING:
    from harness.lm.adapter import SteeredLM
    from harness.measuring.spec import Arm
    from harness.tuning.chosen import Tuner
    from reports import Record


def _several(value: Any) -> Any:
    """One item may stand for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _as_many(value: list[Any]) -> tuple[Any, ...]:
    return tuple(value)


T = TypeVar("T")
Text = Annotated[str, Strict(), Len(1)]
Count = Annotated[int, Strict(), Ge(1), Le(10**9)]
Seed = Annotated[int, Strict(), Ge(0), Lt(2**32)]
Many = Annotated[list[T], Len(1), BeforeValidator(_several), AfterValidator(_as_many)]


class Stored(TypedDict, total=False):
    """What an evaluation file may hold; see `Asked`."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[misc]
    tasks: Many[Text]
    suite: Text
    data: Many[Text]
    include_path: Text
    arms: Many[Text]
    seeds: Many[Seed]
    budget: Count
    limit: Count | None
    chat_template: Literal["default", "always", "never", "auto"]
    system_instruction: Text | None
    fewshot_as_multiturn: Annotated[bool, Strict()] | None
    frame: Literal["zero_shot", "paraphrase"] | None
    dataset: Many[Text]
    metric: Text
    fit_on: Text
    side_effects: Many[Text]
    dose: Annotated[float, Ge(DOSES[0]), Le(DOSES[1])]
    templates: Count
    judge: Many[Text]
    content_encoder: Text
    gen_kwargs: dict[Text, Any]
    protocol: Text
    as_published: Annotated[bool, Strict()]
    at_least: dict[Text, Annotated[float, Strict()]]


ASKED = TypeAdapter(Stored)
OF_CASES: dict[str, Any] = {
    "tasks": (), "arms": (), "seeds": (0,), "budget": None, "dose": None, "side_effects": (),
    "at_least": {},
}  # fmt: skip
"""What differs between cases that share a session."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        tasks: Names of tasks or suites.
        suite: One suite.
        data: Files of pairs, each a task of its own.
        include_path: Folder of more task YAMLs.
        arms: Names of arms; empty takes those of a comparison.
        seeds: Seeds of demonstrations, fits and tuning.
        budget: Configurations that each method gets on each task; None: as many as the task bears.
        limit: Ask only the first documents.
        chat_template: As `manner.Asking.chat`; so are the next three.
        system_instruction: Of every prompt.
        fewshot_as_multiturn: Demonstrations as turns.
        frame: The baseline's prompting of rewriting tasks; None goes by the model.
        dataset: Documents of one's own for tasks that take theirs from the hub (`TASK=PATH`).
        metric: Headline metric of every task; None takes each task's own.
        fit_on: The task whose examples vectors are fitted on; None takes those of the task asked.
        side_effects: Tasks that nothing is tuned for, on which every vector is measured too.
        dose: Nats per token at which methods are compared; None tunes coefficients.
        templates: Other wordings in which what was tuned is asked again.
        judge: Of behaviour, the first one for the headline; empty takes the default.
        content_encoder: A sentence encoder that measures content too.
        gen_kwargs: Added to every task's generation settings.
        protocol: The name of a published protocol, which sets all but tasks, arms, seeds and limit.
        as_published: Take the defects of the paper's own code too.
        at_least: What an arm's headline metric must reach, by arm.
    """

    tasks: tuple[str, ...] = ()
    suite: str | None = None
    data: tuple[str, ...] = ()
    include_path: str | None = None
    arms: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    budget: int | None = None
    limit: int | None = None
    chat_template: str = "default"
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    frame: str | None = None
    dataset: tuple[str, ...] = ()
    metric: str | None = None
    fit_on: str | None = None
    side_effects: tuple[str, ...] = ()
    dose: float | None = None
    templates: int = 0
    judge: tuple[str, ...] = ()
    content_encoder: str | None = None
    gen_kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    protocol: str | None = None
    as_published: bool = False
    at_least: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Asked:
        """Read an `*.eval.yaml` file; its paths are relative to its folder.

        Raises:
            UsageError: with the file's name and the reason.
        """
        try:
            content = read_yaml(path)
        except Unreadable as problem:
            raise UsageError(f"{path.name}: {problem}") from problem
        return cls.of(content, path.name, path.parent)

    @classmethod
    def of(cls, content: Any, name: str, folder: Path) -> Asked:
        """Check what a file or a marker says.

        Raises:
            UsageError: an unknown key or a value of the wrong kind.
        """
        try:
            values: dict[str, Any] = {**ASKED.validate_python(content)}
        except ValidationError as problem:
            raise UsageError(f"{name}: {_said(problem)}") from problem
        if "data" in values:
            values["data"] = tuple(_beside(folder, text) for text in values["data"])
        if "dataset" in values:
            values["dataset"] = tuple(_within(folder, text) for text in values["dataset"])
        if "include_path" in values:
            values["include_path"] = str(folder / values["include_path"])
        return cls(**values)

    @property
    def under(self) -> Protocol | None:
        """The protocol that is asked for, if any.

        Raises:
            UsageError: an option beside it that it sets.
        """
        found = named(self.protocol, as_published=self.as_published)
        if found is not None:
            refuse(found, vars(self))
        return found

    def sources(self) -> Sources:
        """Where the tasks come from."""
        for text in self.data:
            try:
                task_defs.given(text)
            except task_defs.BadPairs as problem:
                raise UsageError(f"data: {problem}") from problem
        return Sources(
            self.include_path, self.data, style=self.suite == "behavior_shift",
            judges=read_judges(",".join(self.judge)) if self.judge else (),
            encoder=self.content_encoder, datasets=self.dataset, fit_on=self.fit_on,
            protocol=self.under,
        )  # fmt: skip

    def asking(self, model: str) -> Asking:
        """How a model's tasks are asked."""
        if self.under is not None:
            return PLAINLY
        frame = self.frame or default_frame(model)
        turns, system = self.fewshot_as_multiturn, self.system_instruction
        return Asking(self.chat_template, system, turns, frame, self.templates)

    def chosen(self, model: str, arms: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[Arm]]:
        """The tasks, and the arms on a model; `arms` replaces the ones asked for."""
        found = self.sources()
        tasks = found.select(self.suite, ",".join(self.tasks))
        frame = self.asking(model).frame
        own = choose_arms(arms or self.arms or None, found, tasks, frame)
        choose_side(",".join(self.side_effects), found, own)
        return tasks, own

    def cases(self, model: str, arms: tuple[str, ...] = ()) -> list[tuple[str, Arm, str]]:
        """Task, arm and suite of every case on a model; `arms` replaces the ones asked for."""
        tasks, chosen = self.chosen(model, arms)
        found, frame, every = self.sources(), self.asking(model).frame, []
        for task in tasks:
            metadata, protocol = found.metadata(task), found.protocol
            own, suite = frame if frame in metadata else BARE[0], str(metadata.get("suite", "none"))
            asked = dict.fromkeys(resolved(arm, own) for arm in chosen)
            every += [
                (task, arm, suite)
                for arm in asked
                if protocol is None or protocol.asks(suite, arm.name)
            ]
        return every


def _said(problem: ValidationError) -> str:
    """What is wrong in an evaluation file, in its own words."""
    first = problem.errors(include_url=False, include_context=False)[0]
    key, given = ".".join(str(part) for part in first["loc"][:1]), first["input"]
    if first["type"] in ("extra_forbidden", "dict_type") and len(first["loc"]) < 2:
        known = ", ".join(Stored.__annotations__)
        return f"expected a mapping of {known}; got {key or type(given).__name__}"
    wanted = {"int_type": "int", "string_type": "str", "float_type": "a number"}
    said = wanted.get(first["type"]) or first["msg"].removeprefix("Input should be ")
    return " ".join(f"{key}: expected {said}, got {given!r:.60}".split())


def _beside(folder: Path, text: str) -> str:
    """`[NAME=]FILE[:FIELDS]` with a path that is relative to a folder."""
    name, equals, rest = text.partition("=")
    named = bool(equals) and not (folder / text).exists()
    return f"{name}={folder / rest}" if named else str(folder / text)


def _within(folder: Path, text: str) -> str:
    """`TASK=PATH` with a path that is relative to a folder."""
    task, equals, path = text.partition("=")
    return f"{task}{equals}{folder / path}" if equals else text


class Evaluator:
    """One model on which cases are measured, each once.

    Args:
        model: As on the command line.
        model_args: As on the command line.
        out: Records and vectors go there; what is there already is not measured again.
    """

    def __init__(self, model: str, model_args: dict[str, Any], out: Path) -> None:
        self.model, self.model_args, self.out = model, model_args, out
        self._tuners: dict[str, Tuner] = {}

    @cached_property
    def lm(self) -> SteeredLM:
        """The model, loaded when first needed."""
        from harness.lm.loading import load

        return load(self.model, self.model_args, batch_size="32")

    def tuner(self, asked: Asked) -> Tuner:
        """What all measurements on the same sources share."""
        style = asked.suite == "behavior_shift"
        key = repr(replace(asked, **OF_CASES, suite="behavior_shift" if style else None))
        try:
            return self._opened(key, asked)
        except AskedTwice:  # a group of another file changes a task of this one
            return self._opened(f"{key} {asked.suite} {asked.tasks}", asked)

    def _opened(self, key: str, asked: Asked) -> Tuner:
        from harness.measuring.judging import default_judge
        from harness.measuring.session import Session
        from harness.tuning.chosen import Tuner

        if key not in self._tuners:
            sources = asked.sources()
            sources.default_judge = default_judge(self.model)
            session = Session(
                self.lm, self.model, self.model_args, sources,
                limit=asked.limit, asking=asked.asking(self.model), metric=asked.metric,
                gen_kwargs=dict(asked.gen_kwargs),
            )  # fmt: skip
            self._tuners[key] = Tuner(session, self.out)
        self._tuners[key].session.sources.select(asked.suite, ",".join(asked.tasks))
        return self._tuners[key]

    def measure(self, asked: Asked, tasks: tuple[str, ...], arms: list[Arm]) -> list[Record]:
        """The records of some of the cases asked for, one per seed."""
        from harness.comparing.grid import Grid
        from harness.comparing.local import Local

        tuner, steers = self.tuner(asked), any(arm.method for arm in arms)
        named = ",".join(asked.side_effects) if steers else None
        side = choose_side(named, tuner.session.sources, arms)
        grid = Grid(tasks, arms, asked.seeds, asked.budget, asked.dose, side)
        return grid.run(Local(tuner), self.out)
