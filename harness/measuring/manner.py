"""How each task is asked: in which frame, through the chat template or not, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import task_defs
from harness.errors import UsageError
from harness.lm.instructed import instructed
from harness.lm.wording import Wording
from harness.measuring.prompting import question

if TYPE_CHECKING:
    from harness.lm.adapter import SteeredLM
    from harness.measuring.asking import Asking
    from harness.measuring.sources import Sources
    from harness.measuring.spec import Arm


class Manner:
    """How the tasks of a session are asked; each decision is made once.

    Args:
        lm: The model.
        sources: Where tasks come from.
        asking: What was said.
        score: (task, wording) -> few-shot headline on validation, higher is better.
    """

    def __init__(
        self,
        lm: SteeredLM,
        sources: Sources,
        asking: Asking,
        score: Callable[[str, Wording], float],
    ) -> None:
        self.lm, self.sources, self.asking, self.score = lm, sources, asking, score
        self._known: dict[str, tuple[Wording, str]] = {}

    def frame(self, task: str) -> str:
        """The prompting of a task's baseline, on which methods act."""
        return self.asking.frame if self.asking.frame in self.metadata(task) else "zero_shot"

    def metadata(self, task: str) -> dict[str, Any]:
        """A task's metadata; nothing for lm-eval's own tasks, which know no frames."""
        with suppress(task_defs.UnknownTask):
            return self.sources.metadata(task)
        return {}

    def question(self, task: str, prompting: str) -> str | None:
        """How a task's questions are worded where not as its YAML says (`prompting.question`)."""
        chat = self.wording(task).chat_template
        return question(task, self.metadata(task), prompting, chat=chat)

    def templates(self, task: str, arm: Arm) -> tuple[str, ...]:
        """The other wordings in which an arm is asked again, as many as there are.

        The baseline, few-shot prompts and methods are, so that gains can be taken; no controls.
        """
        wanted, frame = self.asking.templates, self.frame(task)
        alone = arm.matched is None and "@" not in arm.name
        if not wanted or not alone or arm.prompting not in (frame, "few_shot"):
            return ()
        return wordings(self.sources, task, frame)[:wanted]

    def require_templates(self, tasks: Sequence[str]) -> None:
        """Refuse tasks that have fewer other wordings than are asked.

        Raises:
            UsageError: it names the first such task.
        """
        wanted = self.asking.templates
        for task in tasks if wanted else ():
            frame = self.frame(task)
            if (found := len(wordings(self.sources, task, frame))) < wanted:
                raise UsageError(
                    f"--templates {wanted}: task {task!r} has {found} other wordings in the frame "
                    f"{frame!r}; add some to metadata.wordings of its YAML, or ask for fewer"
                )

    def wording(self, task: str) -> Wording:
        """How a task's prompts are put to the model.

        Raises:
            UsageError: a template that the model does not have.
        """
        return self._decided(task)[0]

    def reason(self, task: str) -> str:
        """Why so, for people."""
        return self._decided(task)[1]

    def _decided(self, task: str) -> tuple[Wording, str]:
        if task not in self._known:
            chat, why = self._chat(task)
            self._known[task] = self._wording(chat), why
        return self._known[task]

    def _wording(self, chat: bool) -> Wording:
        own = self.asking
        return Wording.of(chat, own.system_instruction, own.fewshot_as_multiturn)

    def _chat(self, task: str) -> tuple[bool, str]:
        chat = self.asking.chat
        if chat in ("always", "auto") and not self.lm.tokenizer.chat_template:
            raise UsageError(
                f"{self.lm.pretrained!r} has no chat template; leave --apply_chat_template out"
            )
        if chat in ("always", "never"):
            return chat == "always", "as asked"
        if self.frame(task) != "zero_shot":
            return self._instructed
        if chat == "default":
            return False, "plain unless asked otherwise"
        plain, worded = (self.score(task, self._wording(use)) for use in (False, True))
        return (
            worded > plain,
            f"few-shot on validation: {plain:.3f} plain, {worded:.3f} in the template",
        )

    @cached_property
    def _instructed(self) -> tuple[bool, str]:
        return instructed(self.lm)

    def described(self, task: str) -> dict[str, Any]:
        """For the record: the decision and its reason."""
        return {"chat_template": self.wording(task).chat_template, "why": self.reason(task)}


def wordings(sources: Sources, name: str, frame: str) -> tuple[str, ...]:
    """A task's question in other words: its own `metadata.wordings`, else its suite's.

    Args:
        sources: Where tasks come from.
        name: A task.
        frame: The prompting whose words they replace.
    """
    metadata = sources.metadata(name)
    suite, groups = str(metadata["suite"]), task_defs.suites(sources.include_path)
    if suite not in groups and sources.of_pairs(name):
        suite = "precision"  # whose words pairs of one's own are asked in
    common = task_defs.group(suite, sources.include_path) if suite in groups else {}
    shared = (common.get("metadata") or {}).get("wordings") or ()
    found = metadata.get("wordings") or shared
    return tuple(found.get(frame, ()) if isinstance(found, dict) else found)
