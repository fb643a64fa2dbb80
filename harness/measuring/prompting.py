"""The prompting arms, as changes to one lm-eval task object."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import task_defs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lm_eval.api.task import ConfigurableTask


ANSWER = "answer of another demonstration"
"""Key of a demonstration that is shown with an answer that is not its own."""


class ShuffledLabels:
    """Demonstrations whose answers are permuted among themselves (arXiv:2310.15213, section 3).

    The same documents in the same order as the task's own sampler draws for the seed, so that the
    labels are the only difference to few-shot.
    """

    def __init__(self, task: ConfigurableTask, seed: int) -> None:
        """Take a task's place of drawing and of answering.

        Args:
            task: Draws the documents, and words their answers.
            seed: Of the permutation, which has a stream of its own.
        """
        self.inner, self.words = task.sampler, task.doc_to_target
        self.choices, self.shown = task.doc_to_choice, task.fewshot_cfg
        self.choosing = task.config.doc_to_choice is not None
        self._permutation = random.Random(f"labels {seed}")

    def set_rnd(self, seed: int | None) -> ShuffledLabels:
        """Begin the draws anew."""
        self.inner.set_rnd(seed)
        self._permutation = random.Random(f"labels {seed}")
        return self

    def sample(self, n: int, *args: Any, **kwargs: Any) -> Sequence[dict[str, Any]]:
        """Draw n documents and permute their answers so that no two stay where they were."""
        drawn = [dict(document) for document in self.inner.sample(n, *args, **kwargs)]
        order = list(range(len(drawn)))
        self._permutation.shuffle(order)
        # each takes its answer from the next in a random cycle: none keeps its own
        giver = dict(zip(order, order[1:] + order[:1], strict=True))
        return [doc | {ANSWER: self._answer(drawn[giver[i]])} for i, doc in enumerate(drawn)]

    def _answer(self, document: dict[str, Any]) -> str:
        answer = self.words(document, self.shown.doc_to_target)
        answer = answer[0] if isinstance(answer, list) else answer
        if isinstance(answer, int) and self.choosing:
            answer = self.choices(document, self.shown.doc_to_choice)[answer]
        return str(answer)

    def target(self, document: dict[str, Any], wording: Any = None) -> Any:
        """What a task says the answer of a document is; of a demonstration, what it is shown with.

        Args:
            document: The document.
            wording: As lm-eval passes it on.
        """
        return document[ANSWER] if ANSWER in document else self.words(document, wording)


FRAME = "paraphrase"
"""The prompting that asks for a rewrite and names no style; the key of its wording in metadata."""


def question(task: str, metadata: Mapping[str, Any], prompting: str, *, chat: bool) -> str | None:
    """How a question is worded where it is not worded as the task's YAML says.

    Args:
        task: Its name.
        metadata: Of the task: `paraphrase` is the neutral frame of a rewriting task, `chat` what a
            user would write in a conversation.
        prompting: One of `spec.PROMPTINGS`.
        chat: Whether prompts go through the chat template.

    Returns:
        A Jinja template over the document's fields.

    Raises:
        BadTask: a frame that the task does not have.
    """
    if prompting == FRAME:
        return _said(task, metadata, FRAME)
    return str(metadata["chat"]) if chat and "chat" in metadata else None


def prompt(
    task: ConfigurableTask,
    prompting: str,
    *,
    seed: int,
    shots: int,
    chat: bool = False,
    opening: str = "",
) -> None:
    """Set a task's prompt to one of the prompting arms.

    Args:
        task: A freshly loaded task.
        prompting: One of `spec.PROMPTINGS`.
        seed: Seed of the demonstrations.
        shots: Demonstrations in the few-shot arms.
        chat: Whether prompts go through the chat template.
        opening: What stands before every prompt.
    """
    name, metadata = task.config.task, task.config.metadata or {}
    few = prompting in ("few_shot", "shuffled_few_shot")
    task.set_config("num_fewshot", shots if few else 0)
    if worded := question(name, metadata, prompting, chat=chat):
        reword(task, worded)
    if prompting == "instruction":
        task.set_config("description", f"{_said(name, metadata, 'instruction')}\n\n")
    if opening:
        begin(task, opening)
    task.set_fewshot_seed(seed)
    if prompting == "shuffled_few_shot":
        shuffled = ShuffledLabels(task, seed)
        task.sampler, task.doc_to_target = shuffled, shuffled.target


def begin(task: ConfigurableTask, opening: str) -> None:
    """Put a text before every prompt of a task."""
    task.set_config("description", f"{opening}{task.config.description or ''}")


def reword(task: ConfigurableTask, worded: str) -> None:
    """Ask a task's documents and demonstrations in other words."""
    task.set_config("doc_to_text", worded)
    task.fewshot_cfg.doc_to_text = worded


def _said(task: str, metadata: Mapping[str, Any], key: str) -> str:
    """The authored words of a prompting."""
    if key not in metadata:
        raise task_defs.BadTask(
            f"task {task!r} has no metadata.{key}; add what is to be said, or leave the arm "
            f"{key!r} out"
        )
    return str(metadata[key])
