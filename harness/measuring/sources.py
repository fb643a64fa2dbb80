"""Where tasks come from: the built-in suites, a user's folder or files, lm-eval's own tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import task_defs
from harness.errors import UsageError
from harness.measuring.code import contents, folders
from harness.measuring.examples import TaskExamples
from harness.measuring.first_token import one_answer
from harness.measuring.judging import judged_by
from harness.measuring.library import (
    Library,
    Loaded,
    fresh,
    guarded,
    guarded_scoring,
    loaded,
    located,
)
from harness.measuring.names import Names
from harness.measuring.parts import Part, Parts, is_of_pairs, own_samples, parts_of
from harness.measuring.written import Written
from harness.protocols import Protocol
from task_defs import Given, code
from task_defs.behavior_shift.utils import NGRAMS, judge_hash
from task_defs.examples_of import examples_from
from task_defs.schema import wrong_name

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.lm.wording import Told
    from harness.measuring.members import Manager

SUITES = ("precision", "behavior_shift")

PAIRS_SHOTS, SHOTS = 10, 5
"""Demonstrations of the few-shot arms where a task says none: of pairs, of lm-eval's tasks."""


@dataclass
class Sources:
    """Every task that can be measured, by name.

    Attributes:
        include_path: A folder of the user's own task YAMLs.
        data: Files of the user's own, `[NAME=]FILE[:FIELDS]`; each is a task named after the file.
        style: Whether these are style data: tasks of the behaviour suite.
        judges: Of behaviour tasks, the first one for the headline; empty for the default.
        default_judge: The judge where none is named, neither here nor in the task's YAML.
        encoder: A sentence encoder, for content measured by it too.
        datasets: Documents of one's own for tasks that take theirs from the hub: `TASK=PATH`, or
            `TASK:ROLE=PATH` for one split (train, validation, test).
        fit_on: The task whose examples vectors are fitted on, or a file as in `data` that is not
            measured; None takes those of the task asked.
        protocol: What stands in tasks' YAMLs instead of their own keys, and which tasks where
            none are named.
    """

    include_path: str | None = None
    data: tuple[str, ...] = ()
    style: bool = False
    judges: tuple[str, ...] = ()
    default_judge: str = NGRAMS
    encoder: str | None = None
    datasets: tuple[str, ...] = ()
    fit_on: str | None = None
    protocol: Protocol | None = None
    _made: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @cached_property
    def files(self) -> dict[str, Given]:
        """The user's files by task name."""
        every = [task_defs.given(text, self.style) for text in self.data]
        found = {each.name: each for each in every}
        if self.fit_file is not None:
            found.setdefault(self.fit_file.name, self.fit_file)
            every.append(self.fit_file)
        known = [*task_defs.tasks(self.include_path), *(each.name for each in every)]
        clash = [each.name for each in every if known.count(each.name) > 1]
        if clash:
            raise UsageError(
                f"--data {', '.join(self.data)}: the name {clash[0]!r} is taken; each file's name "
                "becomes a task of its own: put another before, NAME=FILE"
            )
        return found

    @cached_property
    def fit_file(self) -> Given | None:
        """The file to fit on, where that is none of the tasks."""
        text = self.fit_on or ""
        if wrong_name(text) is None and not Path(text).is_file():
            return None
        return task_defs.given(text) if text else None

    @cached_property
    def own(self) -> frozenset[str]:
        """Names of the tasks of these folders and files."""
        return frozenset(task_defs.tasks(self.include_path)) | frozenset(self.files)

    @cached_property
    def written(self) -> Written:
        """What the tasks' YAMLs say."""
        names = self.names
        return Written(self.files, self.include_path, names.suites, self.protocol, names.changes)

    @cached_property
    def names(self) -> Names:
        """What names of tasks, groups and tags stand for."""
        return Names(self.include_path, self.own, self.library, lambda: self._manager("", ""))

    @cached_property
    def library(self) -> Library:
        """lm-eval's tasks."""
        return Library(self._folders, located(self.datasets))

    def select(self, suite: str | None, tasks: str | None) -> tuple[str, ...]:
        """Names of the tasks asked for; with neither a suite nor tasks, every one of the suites.

        Files are measured alone unless a suite or tasks are named beside them; for style data the
        suite says what they are, and names no more tasks.

        Args:
            suite: One of the suites of these folders.
            tasks: Names of tasks, suites, or lm-eval's groups and tags, separated by commas.

        Raises:
            ValueError: an unknown suite or task.
        """
        groups = task_defs.suites(self.include_path)
        if suite is not None and suite not in groups:
            raise UsageError(f"no suite named {suite!r}. Suites: {', '.join(sorted(groups))}")
        unasked = self.fit_file.name if self.fit_file is not None else None
        chosen: list[str] = [name for name in self.files if name != unasked]
        for name in [suite] if suite and not (self.style and self.data) else []:
            chosen += self.named(name)
        for name in filter(None, (tasks or "").split(",")):
            chosen += self.named(name)
        every = self.protocol.tasks if self.protocol else [t for s in SUITES for t in groups[s]]
        chosen = chosen or [task for name in every for task in self.names.asked([name], {}, name)]
        return tuple(dict.fromkeys(chosen))

    def fitted_on(self, name: str) -> str:
        """The task whose examples a task's vectors are fitted on.

        Raises:
            UsageError: --fit_on names no task, or several.
        """
        if self.fit_on is None or self.fit_file is not None:
            return name if self.fit_file is None else self.fit_file.name
        found = self._once("fitted_on", self.fit_on, lambda: self.named(str(self.fit_on)))
        if len(found) != 1:
            raise UsageError(f"--fit_on {self.fit_on}: one task is needed, got {len(found)}")
        return str(found[0])

    def named(self, name: str) -> list[str]:
        """The tasks behind a name of these folders or of lm-eval's; a UsageError if none are."""
        return self.names.tasks(name)

    def by_size(self, name: str, metric: str) -> bool:
        """Whether a task's group weighs its tasks by their documents, as lm-eval reports it.

        Args:
            name: A task.
            metric: Its headline metric.
        """
        return self.names.weighs(str(self.metadata(name)["suite"]), metric)

    def metadata(self, name: str) -> dict[str, Any]:
        """A task's suite, headline metric, shots, instruction, and what judges it."""
        return dict(self._once("metadata", name, lambda: self._metadata(name)))

    def _metadata(self, name: str) -> dict[str, Any]:
        content = self._content(name)
        own = {"suite": self.names.suites.get(name, name), **(content.get("metadata") or {})}
        own.pop("config_source", None)
        if own["suite"] != SUITES[1]:
            return own
        more = {"further_judges": list(self.judges[1:]), "encoder": self.encoder}
        added = {key: value for key, value in more.items() if value}
        return {**own, **judged_by(content, self.judges, self.default_judge), **added}

    def output_type(self, name: str) -> str:
        """What a task asks of a model, in lm-eval's word."""
        return str(self._content(name).get("output_type"))

    def gives_answers(self, name: str) -> bool:
        """Whether a task's documents are one given answer each, which is scored."""
        return one_answer(self.template(name))

    def _content(self, name: str) -> dict[str, Any]:
        """A task's YAML."""
        if self._lent(name):
            if self.protocol is not None:
                self.protocol.part(self.names.suites.get(name, name))
            return dict(vars(self.template(name).config))
        return self.written.plain(name)

    def _lent(self, name: str) -> bool:
        """Whether a task is lm-eval's, or has documents in place of its own."""
        return name not in self.own or name in self.library.datasets

    def shots(self, name: str) -> int:
        """Demonstrations of a task's few-shot arms."""
        if self.of_pairs(name):
            return int(self.metadata(name).get("shots", PAIRS_SHOTS))
        own = self.metadata(name).get("shots") or self.template(name).config.num_fewshot
        return int(own or SHOTS)

    def of_pairs(self, name: str) -> bool:
        """Whether a task is one of pairs, in three splits, as the suites' tasks are."""
        return bool(self._once("of_pairs", name, lambda: is_of_pairs(self.template(name))))

    def examples(self, name: str, split: str = "train") -> Told:
        """What vectors are fitted on, worded as the task is asked.

        Args:
            name: The task.
            split: Of pairs: `train`, `validation` or `test`.
        """
        return self._once(f"examples {split}", name, lambda: self._examples(name, split))  # type: ignore[no-any-return]

    def _examples(self, name: str, split: str) -> Told:
        if not self.of_pairs(name):
            task, fit = fresh(self.template(name)), self.parts(name).fit
            instruction = str(self.metadata(name).get("instruction", ""))
            return TaskExamples(task, fit, self.shots(name), self.fingerprint(name), instruction)
        return examples_from(self.written.whole(name), split)

    def behaviour(self, names: Sequence[str]) -> list[str]:
        """Those of some tasks that belong to the behaviour suite."""
        return [name for name in names if self.metadata(name).get("suite") == SUITES[1]]

    def fingerprint(self, name: str) -> str:
        """12 hex digits over what makes a task's numbers.

        Its documents, its configuration (templates, output type, metrics, filters, generation
        settings), the source of every function that it names, and its judge.
        """
        return str(self._once("fingerprint", name, lambda: self._fingerprint(name)))

    def _fingerprint(self, name: str) -> str:
        task, metadata = self.template(name), self.metadata(name)
        metadata.pop("suite", None)  # by which name it was asked for
        content = [code.spelled(task.config), code.code_of(type(task)), contents(task)]
        judged = [*([judge_hash(name)] if metadata.get("classifier") else []), *folders(metadata)]
        told = self.parts(name).told
        text = json.dumps([*content, code.spelled(metadata), told, *judged], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def parts(self, name: str) -> Parts:
        """A task's documents by what they are for."""
        return self._once("parts", name, lambda: self._parts(name))  # type: ignore[no-any-return]

    def _parts(self, name: str) -> Parts:
        task = self.template(name)
        if not self.of_pairs(name):
            return guarded(name, lambda: parts_of(task))  # type: ignore[no-any-return]
        return Parts((), task.validation_docs(), None, len(task.eval_docs), "")

    def load(self, name: str, part: Part = "result") -> ConfigurableTask:
        """A task to prompt and to ask, its documents those of a part."""
        task, parts = fresh(self.template(name)), self.parts(name)
        if part == "every":
            return task
        documents = parts.tuning if part == "tuning" else parts.result
        if documents is not None and not len(documents):
            raise UsageError(
                f"task {name!r} has no documents to tune on that do not count; give more, or "
                "measure arms that are not tuned"
            )
        if documents is not None:
            task.has_test_docs, task.test_docs = (lambda: True), (lambda: documents)
        if parts.result is not None and hasattr(task, "sampler") and not own_samples(task):
            task.sampler.replace_df(list(parts.fit))  # what counts is never shown
        return task

    def load_any(self, name: str) -> Loaded:
        """Tasks by a name of ours or of lm-eval's own, all their documents asked.

        Raises:
            UsageError: nobody defines the name, or it cannot be loaded.
        """
        tasks = self.named(name)
        if name in task_defs.suites(self.include_path):
            found = loaded(self._manager("", ""), name)["groups"]
            return Loaded({task: fresh(self.template(task)) for task in tasks}, found)
        if not self._lent(name):
            return Loaded({name: fresh(self.template(name))}, {})
        groups = self.library.find(name).groups
        return Loaded({task: fresh(self.template(task)) for task in tasks}, groups)

    def template(self, name: str) -> ConfigurableTask:
        """A task as lm-eval loads it, loaded once; never to be changed."""

        def make() -> ConfigurableTask:
            task = self._template(name)
            if callable(task.config.process_results):
                task.config.process_results = guarded_scoring(task, name)
            return task

        return self._once("template", name, make)

    def _template(self, name: str) -> ConfigurableTask:
        changes = self.written.changed(name)
        if self._lent(name):
            return self.library.find(name, changes if name in self.own else {}).tasks[name]
        inline = name in self.files or self.protocol is not None
        spec = self.written.whole(name) if inline else name
        judged = {key: self.metadata(name).get(key, "") for key in ("classifier", "label")}
        manager = self._manager(*judged.values())
        if changes and not inline:
            return guarded(name, lambda: manager.changed(name, changes))
        return loaded(manager, spec)["tasks"][name]

    def _manager(self, classifier: str, label: str) -> Manager:
        """lm-eval's manager of the tasks of these folders, one for each judge."""

        def make() -> Manager:
            from harness.measuring.members import Manager

            judged = {"classifier": classifier, "label": label} if classifier else {}
            return Manager(self._folders, judged)

        return self._once("manager", f"{classifier} {label}", make)  # type: ignore[no-any-return]

    @property
    def _folders(self) -> tuple[str, ...]:
        return (str(task_defs.root()), *([self.include_path] if self.include_path else []))

    def _once(self, what: str, name: str, make: Callable[[], Any]) -> Any:
        """What is made for a name, made when it is first needed."""
        key = (what, name)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
