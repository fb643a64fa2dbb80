"""Any task's documents as examples to fit on, worded by lm-eval as it asks them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.measuring.library import fresh, words_of
from harness.measuring.prompting import begin, reword

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.api.utils import Message

    from task_defs.rendering import Turn

Doc = dict[str, Any]


@dataclass(frozen=True)
class Answered:
    """A document as question and answers.

    Attributes:
        question: As the task words it.
        shown: As a demonstration words it.
        right: Right answers, the one that is asked for first.
        wrong: Wrong ones, of multiple choice.
    """

    question: str
    shown: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class TaskExamples:
    """Questions with their right answers (`steering.Examples`), and with the wrong ones.

    Attributes:
        task: The task; words everything.
        documents: What is fitted on.
        shots: Demonstrations of a few-shot prompt.
        code: What identifies the task.
        instruction: The task in words, if it says them.
    """

    task: ConfigurableTask
    documents: Sequence[Doc]
    shots: int
    code: str
    instruction: str = ""
    _texts: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.task.config.task)

    @cached_property
    def answered(self) -> list[Answered]:
        """The documents that have an answer to fit on.

        Raises:
            UsageError: the task asks no questions.
        """
        if self.task.OUTPUT_TYPE == "loglikelihood_rolling":
            raise UsageError(
                f"task {self.name!r} scores whole texts and has no answers to fit on; name what "
                "vectors are fitted on with --fit_on"
            )
        return [each for _, each in self._kept]

    @cached_property
    def _kept(self) -> list[tuple[Doc, Answered]]:
        with words_of(self.task):
            asked = [(document, answered(self.task, document)) for document in self.documents]
        found = [(document, each) for document, each in asked if each is not None]
        if len(found) < 2:
            raise UsageError(f"task {self.name!r}: {len(found)} documents with an answer to fit on")
        return found

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Questions as the task words them, and their right answers."""
        return tuple((each.question, each.right[0]) for each in self.answered)

    @cached_property
    def contrasts(self) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
        """Questions with their right and wrong answers; empty where there are no wrong ones."""
        if not all(each.wrong for each in self.answered):
            return ()
        return tuple((each.question, each.right, each.wrong) for each in self.answered)

    @cached_property
    def _places(self) -> dict[str, int]:
        """The first document that asks a question."""
        found: dict[str, int] = {}
        for place, each in enumerate(self.answered):
            found.setdefault(each.question, place)
        return found

    def target(self, y: str) -> str:
        """An answer as it follows the prompt."""
        alone = self.task.OUTPUT_TYPE == "loglikelihood"  # lm-eval scores it as it stands
        return y if alone else f"{self.task.config.target_delimiter}{y}"

    def chat_target(self, y: str) -> str:
        """An answer as it follows a chat template's header, or the words that it begins with."""
        begun = self.task.config.gen_prefix
        return self.target(y) if begun and not begun[-1].isspace() else y

    def reworded(self, text: str) -> TaskExamples:
        """The same documents, asked in other words."""
        task = fresh(self.task)
        reword(task, text)
        return replace(self, task=task, _texts={})

    def opened(self, text: str) -> TaskExamples:
        """The same documents, with a text before every prompt."""
        task = fresh(self.task)
        begin(task, text)
        return replace(self, task=task, _texts={})

    def demonstration(self, x: str, y: str) -> str:
        """One answered question as it stands in a few-shot prompt."""
        return "".join(text + after for _, text, after in self._shown(x, y))

    def _shown(self, x: str, y: str) -> list[Turn]:
        place, own = self._places.get(x), self.task.fewshot_cfg
        shown = self.task.build_qa_turn(
            q=x if place is None else self.answered[place].shown, a=y,
            gen_prefix=self._prefix(x, own.gen_prefix),
            tgt_delim=own.target_delimiter, few_delim=own.fewshot_delimiter,
        )  # fmt: skip
        return _turns(shown)

    def prompt(self, demonstrations: Sequence[tuple[str, str]], query: str) -> str:
        """The text that lm-eval renders for a query after the demonstrations."""
        turns = self.turns(demonstrations, query)
        return self.description(query) + "".join(text + after for _, text, after in turns)

    @property
    def delimiter(self) -> str:
        """What stands between demonstrations, and between a system prompt and a description."""
        return str(self.task.config.fewshot_delimiter)

    def description(self, query: str) -> str:
        """What stands before everything else."""
        return self._rendered(query, self.task.config.description)

    def turns(self, demonstrations: Sequence[tuple[str, str]], query: str) -> list[Turn]:
        """The messages of a conversation that ends where the answer begins."""
        config = self.task.config
        last = self.task.build_qa_turn(
            q=query, gen_prefix=self._prefix(query, config.gen_prefix),
            tgt_delim=config.target_delimiter, few_delim="",
        )  # fmt: skip
        return [each for x, y in demonstrations for each in self._shown(x, y)] + _turns(last)

    def _prefix(self, x: str, template: str | None) -> str | None:
        return self._rendered(x, template) or None

    def _rendered(self, x: str, template: str | None) -> str:
        """A template on the document that asks a question."""
        if not template:
            return ""
        key = (x, template)
        if key not in self._texts:
            document, _ = self._kept[self._places.get(x, 0)]
            self._texts[key] = str(self.task.resolve_field(document, template) or "")
        return self._texts[key]

    def fingerprint(self) -> str:
        """Identity of the documents and of the task."""
        content = [self.code, self.shots, self.pairs, self.contrasts]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _turns(messages: Sequence[Message]) -> list[Turn]:
    return [(each.role, each.content, each._delimiter) for each in messages]


def shown(task: ConfigurableTask, document: Doc) -> str:
    """What people see of a document: its input, or what it asks."""
    return str(document.get("input") or question_of(task, document))


def question_of(task: ConfigurableTask, document: Doc) -> str:
    """What a document asks, as the task words it; empty for a text without a question."""
    text = task.doc_to_text(document)
    return str(task.doc_to_choice(document)[text] if isinstance(text, int) else text)


def answered(task: ConfigurableTask, document: Doc) -> Answered | None:
    """A document as question and answers; None where it has no right answer as text."""
    few = task.fewshot_cfg
    choices = task.doc_to_choice(document) if task.config.doc_to_choice is not None else None
    asked, shown = task.doc_to_text(document), task.doc_to_text(document, few.doc_to_text)
    target, wrong = task.doc_to_target(document), tuple[str, ...]()
    if isinstance(asked, int):  # the choices are in the question: one of them is the right one
        right = _texts(target, None)
        asked = shown = choices[asked] if choices else ""
    else:
        right = _texts(target, choices)
        right, wrong = _labelled(document, choices) or (right, _others(choices, right))
    if not right or not right[0].strip():
        return None
    return Answered(str(asked), str(shown), right, wrong)


def _texts(target: Any, choices: Sequence[str] | None) -> tuple[str, ...]:
    """Right answers as texts, of a target that is a text, a place among choices, or several."""
    every = target if isinstance(target, list) else [target]
    found = [
        choices[each] if choices and isinstance(each, int) and 0 <= each < len(choices) else each
        for each in every
    ]
    if choices and any(isinstance(each, int) for each in found):
        return ()  # a place that no choice has
    return tuple(str(each) for each in found)


def _others(choices: Sequence[str] | None, right: Sequence[str]) -> tuple[str, ...]:
    return tuple(choice for choice in choices or () if choice not in right)


def _labelled(
    document: Doc, choices: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Right and wrong choices where a document labels each of them (TruthfulQA's mc2)."""
    for value in document.values():
        if isinstance(value, Mapping) and choices and list(value.get("choices") or ()) == choices:
            labels = list(value.get("labels") or ())
            if len(labels) == len(choices) and set(labels) <= {0, 1}:
                both = [
                    tuple(
                        choice
                        for choice, label in zip(choices, labels, strict=True)
                        if label == own
                    )
                    for own in (1, 0)
                ]
                return both[0], both[1]
    return None
