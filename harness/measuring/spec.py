"""What is asked: arms, and one measurement as data whose hash is its name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError, did_you_mean

PROTOCOL = 3
"""Raised when the same spec would give other numbers: a changed protocol is not a regression."""

BUDGET = 24
"""Configurations tried of each method on a task whose answers are generated, one after another."""

SCORED_BUDGET = 192
"""The same where given answers are scored: in shared passes so many take no longer."""

DEFAULT = "default"
"""What stands after a method and a colon where its published settings are measured untouched."""

BARE = ("zero_shot", "few_shot", "shuffled_few_shot", "instruction")
PROMPTINGS = (*BARE, "paraphrase")
BASELINE = "baseline"
"""The arm that a task's differences are taken from: its frame, or zero_shot where it has none."""

MATCHED = ("random_vector", "shuffled_fit")
"""Controls that take the settings of a method named after a colon."""

CONTROLS = (*MATCHED, "random_heads")
DEFAULT_ARMS = (
    *BARE,
    "fv",
    "icv",
    "fv:default",
    "icv:default",
    "random_vector:fv",
    "random_vector:icv",
    "random_heads",
    "fv@shuffled_few_shot",
    "icv@shuffled_few_shot",
)


@dataclass(frozen=True)
class Arm:
    """One way of conditioning the model.

    Attributes:
        name: `prompting`, `method` (tuned), `method:default` (its published settings),
            `control:method` (a control matched to a method, with that method's tuned settings), or
            one of the last three on top of a prompting: `method@prompting`.
        prompting: One of PROMPTINGS; `resolved` puts the task's frame in its place for a method
            that names none.
        method: The steering method that makes the vector, if any.
        matched: The method whose tuned settings the control takes, if it is a control.
        default: Whether the method's published settings are measured as they are.
        given: Settings by name with the values that they may take, of a protocol; one of several
            is searched, and nothing else.
    """

    name: str
    prompting: str = "zero_shot"
    method: str | None = None
    matched: str | None = None
    default: bool = False
    given: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def owner(self) -> str | None:
        """The method whose settings this arm takes, but for those that nobody gives or searches."""
        return None if self.default else self.matched or self.method

    @property
    def tuned(self) -> str | None:
        """The method whose search gives this arm its settings, if they are searched."""
        return None if self.given and self.configurations == 1 else self.owner

    @property
    def configurations(self) -> int:
        """How many there are of the values that are given."""
        return math.prod(len(values) for _, values in self.given)


def resolved(arm: Arm, frame: str) -> Arm:
    """An arm on a task: `baseline` is the task's frame, and a method acts on top of it.

    Args:
        arm: As it was named.
        frame: The prompting of the task's baseline.
    """
    if arm.name == BASELINE:
        return Arm(frame, prompting=frame)
    return dataclasses.replace(arm, prompting=frame) if arm.method and "@" not in arm.name else arm


def parse_arms(names: list[str], methods: tuple[str, ...]) -> list[Arm]:
    """Read arm names; `random_vector` alone means one for every method among the names.

    Args:
        names: As on the command line.
        methods: Names of the registered steering methods.

    Raises:
        UsageError: a name that is no arm, with the nearest one.
    """
    plain = [name for name in names if name in methods and name not in CONTROLS]
    expanded: list[str] = []
    for name in names:
        expanded += [f"{name}:{method}" for method in plain] if name in MATCHED else [name]
    if not expanded:
        raise UsageError(f"no arms in {names}; a control needs a method beside it, such as fv")
    return [_parse_arm(name, methods) for name in dict.fromkeys(expanded)]


def _parse_arm(name: str, methods: tuple[str, ...]) -> Arm:
    if name in (*PROMPTINGS, BASELINE):
        return Arm(name, prompting=name)
    steering, at, prompting = name.partition("@")
    method, colon, matched = steering.partition(":")
    default = matched == DEFAULT and method not in CONTROLS
    if default:
        colon = matched = ""
    whole = bool(at) == bool(prompting) and bool(colon) == bool(matched) == (method in MATCHED)
    known = method in methods and (not matched or (matched in methods and matched not in CONTROLS))
    if not whole or not known or (prompting and prompting not in PROMPTINGS):
        every = (*PROMPTINGS, *methods)
        unknown = [part for part in (method, matched, prompting) if part and part not in every]
        hint = did_you_mean(unknown[0], every) if unknown else ""
        raise UsageError(
            f"no arm named {name!r}.{hint} Arms: {', '.join(every)}, and combinations such as "
            "random_vector:fv, fv:default and fv@shuffled_few_shot"
        )
    if method == "random_heads":
        matched = "fv"
    return Arm(name, prompting or "zero_shot", method, matched or None, default)


@dataclass(frozen=True)
class RunSpec:
    """One measurement: a model, a task, an arm and a seed, and everything that changes numbers.

    With a `side` task it is that one's documents that are asked, as its baseline is, under the
    vector that was tuned and fitted for `task`; `side_hash` is over what is asked there and how.
    """

    model: str
    model_args: dict[str, Any]
    model_hash: str
    task: str
    suite: str
    task_hash: str
    arm: Arm
    seed: int
    shots: int
    budget: int
    limit: int | None = None
    frame: str = "zero_shot"
    chat_template: bool = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool = False
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    dose: float | None = None
    metric: str | None = None
    fit_on: str | None = None
    beside: tuple[str, ...] = ()
    opening: str = ""
    method_code: str | None = None
    templates: tuple[str, ...] = ()
    side: str | None = None
    side_hash: str | None = None
    protocol: int = PROTOCOL

    @property
    def asked(self) -> str:
        """The task whose documents are asked."""
        return self.side or self.task

    def as_json(self) -> dict[str, Any]:
        """Plain data, the same for equal specs and as JSON gives it back.

        What only protocols say stands there under a protocol, and other wordings where they are
        asked, so that other measurements keep the names that earlier versions gave them.
        """
        found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        unsaid = [(found, name) for name in ("beside", "opening", "templates")]
        for holder, name in ((found["arm"], "given"), *unsaid):
            if not holder[name]:
                del holder[name]
        return found

    @property
    def run_id(self) -> str:
        """The first 12 hex digits of the sha256 of the canonical JSON."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
