"""Who says how much of the wanted style an output has, and how far that can be believed.

The first judge makes `attribute`, and with it `joint`. It is part of what a task is (its documents
name it), so that it is in the run id and in lm-eval's own numbers. Further judges read the same
outputs: `attribute_by_NAME`. No judge reads activations of the model that is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.reference import REFERENCE
from task_defs.behavior_shift.utils import (
    classifier_report,
    embedding_content,
    judge,
    judges,
    named,
    outside,
    words,
)

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.measuring.measurement import Document

PREFERRED = ("embedding+lexicon", "embedding")
"""The default for models that somebody else trained, the first whose packages are installed."""


def default_judge(model: str) -> str:
    """The judge of a model's outputs when nobody names one: decided by what is measured.

    The built-in model speaks the sentences that n-grams are fitted on, and its committed numbers
    are theirs. Other models speak as they like, where n-grams fail (docs/judges.md).

    Args:
        model: As on the command line.
    """
    found = judges.installed()
    if model == REFERENCE:
        return str(judges.NGRAMS)
    return next((name for name in PREFERRED if name in found), str(judges.NGRAMS))


def read_judges(given: str) -> tuple[str, ...]:
    """Read `NAME,NAME`; the first judge is the one of the headline.

    Raises:
        ValueError: a name that is no judge, or one whose packages are not installed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--judge {given!r}: no judge named; judges: {', '.join(judges.FITTED)}")
    for name in names:
        judges.check(*judges.named(name))
    return names


def read_checks(given: Sequence[str], tasks: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Read `TASK=FILE` or, where only one behaviour task is measured, `FILE`.

    Args:
        given: As on the command line.
        tasks: The behaviour tasks that are measured.

    Raises:
        ValueError: another task, or a file that cannot be read.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for text in given:
        task, equals, file = text.partition("=")
        if not equals and len(tasks) == 1:
            task, file = tasks[0], text
        if task not in tasks:
            raise UsageError(
                f"--judge_check {text}: expected TASK=FILE with a behaviour task that is measured; "
                f"measured: {', '.join(tasks) or 'none'}"
            )
        outside.read_labelled(Path(file))  # refuses what it cannot read, before any work
        found[task] = (*found.get(task, ()), Path(file))
    return found


@dataclass
class Judging:
    """What a session's behaviour tasks are judged by beside their own judge.

    Attributes:
        others: Further judges; they read the outputs that the first one read.
        checks: Files of texts from elsewhere on which the judges are measured, by task.
        encoder: A sentence encoder for `content_embedding`, `minilm` for the installed one; None
            leaves that out.
    """

    others: tuple[str, ...] = ()
    checks: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    encoder: str | None = None
    _facts: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def added(self) -> tuple[str, ...]:
        """The metrics that are added to a behaviour task's documents."""
        opinions = tuple(f"attribute_by_{name}" for name in self.others)
        return (*opinions, *(EMBEDDED if self.encoder else ()))

    def facts(self, task: ConfigurableTask) -> dict[str, Any] | None:
        """What judges a task's outputs and how well, the further judges too; None for no one."""
        document = dict(task.eval_docs[0])
        if "classifier" not in document:
            return None
        first = judges.spelled(document["classifier"], document["label"])
        found, *others = (
            self._of(task.config.task, document["task"], name) for name in (first, *self.others)
        )
        return {**found, **({"others": others} if others else {})}

    def _of(self, task: str, texts: str, name: str) -> dict[str, Any]:
        """How well one judge knows a task's style."""
        files = self.checks.get(task, ())
        key = (task, texts, name, *map(str, files))
        if key not in self._facts:
            named = judges.named(name)
            found = {"name": name, **classifier_report(texts, *named)}
            if files:
                labelled = [item for file in files for item in outside.read_labelled(file)]
                measured = judges.report(judge(texts, *named), labelled)
                found["outside"] = {"files": [file.name for file in files], **measured}
            self._facts[key] = found
        return self._facts[key]

    def complete(self, task: ConfigurableTask, documents: list[Document]) -> list[Document]:
        """Add what the further judges say of a behaviour task's outputs."""
        asked = dict(task.eval_docs[0])
        if "classifier" not in asked or not self.added:
            return documents
        outputs = [str(document["output"]).strip() for document in documents]
        columns = {
            f"attribute_by_{name}": _attributes(judge(asked["task"], *judges.named(name)), outputs)
            for name in self.others
        }
        if self.encoder:
            for name, side in zip(EMBEDDED, ("target", "input"), strict=True):
                wanted = [str(document[side]) for document in documents]
                columns[name] = embedding_content(outputs, wanted, self.encoder)
        return [
            {**document, **{name: values[place] for name, values in columns.items()}}
            for place, document in enumerate(documents)
        ]


EMBEDDED = ("content_embedding", "content_embedding_source")


def _attributes(ask: Any, outputs: Sequence[str]) -> list[float]:
    """A judge's probabilities, 0 for a text without a word, as the task's own `attribute`."""
    asked = [place for place, text in enumerate(outputs) if words(text)]
    found = dict(zip(asked, ask([outputs[place] for place in asked]) if asked else (), strict=True))
    return [float(found.get(place, 0.0)) for place in range(len(outputs))]


def judged_by(content: Mapping[str, Any], judges: Sequence[str], default: str) -> dict[str, str]:
    """What tells a behaviour task's metrics who judges; nothing where the task says it.

    Args:
        content: The task's YAML.
        judges: Those that were named.
        default: The one where none was.

    Raises:
        UsageError: the task and the command both name one.
    """
    own = content.get("dataset_kwargs") or {}
    chosen = own.get("classifier") or (content.get("metadata") or {}).get("classifier")
    if chosen and judges:
        raise UsageError(
            f"--judge {judges[0]}: task {content.get('task')!r} names its own classifier "
            f"{chosen!r}; leave --judge out, or take the classifier out of the task's YAML"
        )
    classifier, label = named((*judges, default)[0])
    return {"classifier": classifier, "label": label} if classifier and not chosen else {}
