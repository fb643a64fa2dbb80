"""Where tasks come from: the built-in suites, a user's folder, a user's file of pairs."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import task_defs
from harness.errors import UsageError, UserCodeFailed
from task_defs import code
from task_defs.behavior_shift.utils import NGRAMS, judge_hash, named
from task_defs.guard import users_code
from task_defs.schema import wrong_name

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import ConfigurableTask

SUITES = ("precision", "behavior_shift")


class Loaded(NamedTuple):
    """Tasks, and the groups that they belong to, by name."""

    tasks: dict[str, ConfigurableTask]
    groups: dict[str, Group]


@dataclass
class Sources:
    """Every task that can be measured, by name.

    Attributes:
        include_path: A folder of the user's own task YAMLs.
        data: Files of pairs; each is a task named after the file.
        judges: Of behaviour tasks, the first one for the headline; empty for the default.
        default_judge: The judge where none is named, neither here nor in the task's YAML.
        encoder: A sentence encoder, for content measured by it too.
    """

    include_path: str | None = None
    data: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    default_judge: str = NGRAMS
    encoder: str | None = None
    _examples: dict[tuple[str, str], task_defs.Examples] = field(default_factory=dict)
    _managers: dict[tuple[str, str], Any] = field(default_factory=dict)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The user's pairs files by task name."""
        found = {Path(file).stem: Path(file) for file in self.data}
        clash = sorted(set(found) & set(task_defs.tasks(self.include_path)))
        if clash or len(found) < len(self.data):
            raise UsageError(
                f"--data {', '.join(self.data)}: the name {(clash or ['of a file'])[0]!r} is "
                "taken; each file's name becomes a task of its own, so rename the file"
            )
        return found

    def select(self, suite: str | None, tasks: str | None) -> tuple[str, ...]:
        """Names of the tasks asked for; with neither a suite nor tasks, every one.

        Files of pairs are measured alone unless a suite or tasks are named beside them.

        Raises:
            ValueError: an unknown suite or task.
        """
        groups = task_defs.suites(self.include_path)
        if suite is not None and suite not in groups:
            raise UsageError(f"no suite named {suite!r}. Suites: {', '.join(sorted(groups))}")
        chosen: list[str] = list(self.files)
        for name in [suite] if suite else []:
            chosen += groups[name]
        for name in (tasks or "").split(","):
            if name:
                chosen += groups.get(name) or [self._known(name)]
        if not chosen:
            chosen = [task for name in SUITES for task in groups[name]]
        return tuple(dict.fromkeys(chosen))

    def _known(self, name: str) -> str:
        if name not in self.files:
            task_defs.config(name, self.include_path)  # raises with the nearest name
        return name

    def metadata(self, name: str) -> dict[str, Any]:
        """A task's suite, headline metric, shots, instruction, and what judges it."""
        content = self._content(name)
        own = dict(content.get("metadata") or {})
        if own.get("suite") != SUITES[1]:
            return own
        more = {"further_judges": list(self.judges[1:]), "encoder": self.encoder}
        added = {key: value for key, value in more.items() if value}
        return {**own, **self._judge(name, content), **added}

    def gives_answers(self, name: str) -> bool:
        """Whether a task's documents are one given answer each, which is scored."""
        kind = str(self._content(name)["output_type"])
        if kind != "multiple_choice":
            return kind == "loglikelihood"
        task = self.load(name)
        return len(task.doc_to_choice(task.eval_docs[0])) == 1

    def _content(self, name: str) -> dict[str, Any]:
        """A task's YAML."""
        if name in self.files:
            return task_defs.pairs_task(self.files[name])
        return task_defs.config(name, self.include_path)

    def _judge(self, name: str, content: dict[str, Any]) -> dict[str, str]:
        """What tells a behaviour task's metrics who judges; nothing where the task says it."""
        own = content.get("dataset_kwargs") or {}
        chosen = own.get("classifier") or (content.get("metadata") or {}).get("classifier")
        if chosen and self.judges:
            raise UsageError(
                f"--judge {self.judges[0]}: task {name!r} names its own classifier {chosen!r}; "
                "leave --judge out, or take the classifier out of the task's YAML"
            )
        classifier, label = named((*self.judges, self.default_judge)[0])
        return {"classifier": classifier, "label": label} if classifier and not chosen else {}

    def examples(self, name: str, split: str) -> task_defs.Examples:
        """The pairs of one split of a task."""
        key = (name, split)
        if key not in self._examples:
            self._examples[key] = (
                task_defs.pairs_file(self.files[name], split)
                if name in self.files
                else task_defs.examples(name, split, self.include_path)
            )
        return self._examples[key]

    def behaviour(self, names: Sequence[str]) -> list[str]:
        """Those of some tasks that belong to the behaviour suite."""
        return [name for name in names if self.metadata(name).get("suite") == SUITES[1]]

    def fingerprint(self, name: str) -> str:
        """12 hex digits over what makes a task's numbers.

        Its documents, its configuration (templates, output type, metrics, filters, generation
        settings), the source of every function that it names, and its judge.
        """
        if name not in self._fingerprints:
            task, metadata = self.load(name), self.metadata(name)
            content = [code.spelled(task.config), code.code_of(type(task)), _contents(task)]
            judged = [judge_hash(name)] if metadata.get("classifier") else []
            text = json.dumps([*content, code.spelled(metadata), *judged], sort_keys=True)
            self._fingerprints[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self._fingerprints[name]

    def load(self, name: str) -> ConfigurableTask:
        """A fresh lm-eval task."""
        spec = task_defs.pairs_task(self.files[name]) if name in self.files else name
        judged = {key: self.metadata(name).get(key, "") for key in ("classifier", "label")}
        with users_code(f"task {name}", UserCodeFailed):
            task: ConfigurableTask = self._manager(*judged.values()).load([spec])["tasks"][name]
        if callable(task.config.process_results):
            task.config.process_results = _guarded(task.config.process_results, name)
        return task

    def load_any(self, name: str) -> Loaded:
        """Fresh lm-eval tasks by a name of ours or of lm-eval's own: a task, a group or a tag.

        Raises:
            UsageError: nobody defines the name.
        """
        if name in self.files or name in task_defs.tasks(self.include_path):
            return Loaded({name: self.load(name)}, {})
        if name in task_defs.suites(self.include_path):
            found = self._manager("", "").load([name])
            return Loaded({task: self.load(task) for task in found["tasks"]}, found["groups"])
        if reason := wrong_name(name):
            raise UsageError(f"no task can be named {name[:40]!r}: {reason}")
        manager = self._task_manager(include_defaults=True, metadata={})
        if name not in manager.all_tasks:
            near = difflib.get_close_matches(name, manager.all_tasks, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"no task named {name!r}, neither here nor in lm-eval.{hint}")
        found = manager.load([name])
        return Loaded(found["tasks"], found["groups"])

    def _manager(self, classifier: str, label: str) -> Any:
        """lm-eval's manager of these tasks, one for each judge."""
        key = classifier, label
        if key not in self._managers:
            judged = {"classifier": classifier, "label": label} if classifier else {}
            self._managers[key] = self._task_manager(include_defaults=False, metadata=judged)
        return self._managers[key]

    def _task_manager(self, *, include_defaults: bool, metadata: dict[str, str]) -> Any:
        from lm_eval.tasks import TaskManager

        folders = [str(task_defs.root()), *([self.include_path] if self.include_path else [])]
        return TaskManager(
            include_path=folders, include_defaults=include_defaults, metadata=metadata
        )


def _contents(task: ConfigurableTask) -> dict[str, str]:
    """What each split that a task uses holds, before the task changes its documents."""
    config = task.config
    splits = (config.training_split, config.validation_split, config.test_split,
              config.fewshot_split)  # fmt: skip
    found = {}
    for split in dict.fromkeys(filter(None, splits)):
        digest = hashlib.sha256()
        for document in task.dataset.get(split, ()):
            digest.update(json.dumps(document, sort_keys=True, default=str).encode())
        found[split] = digest.hexdigest()
    return found


def _guarded(scoring: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A task's `process_results` that says what is wrong with it."""

    @functools.wraps(scoring)
    def guarded(*given: Any) -> Any:
        with users_code(f"process_results of task {name}", UserCodeFailed):
            found = scoring(*given)
        if not isinstance(found, Mapping):
            raise UserCodeFailed(
                f"process_results of task {name} gave {type(found).__name__}, expected metrics by "
                "name, such as {'acc': 1.0}"
            )
        return found

    return guarded
