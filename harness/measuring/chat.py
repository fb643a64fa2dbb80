"""Examples worded through a model's chat template, as lm-eval words the documents it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.lm.adapter import SteeredLM
    from task_defs import Examples


@dataclass(frozen=True)
class ChatExamples:
    """A task's examples inside a chat template: the whole prompt is one message of the user."""

    plain: Examples
    lm: SteeredLM

    @property
    def name(self) -> str:
        """The task's name."""
        return self.plain.name

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs."""
        return self.plain.pairs

    @property
    def shots(self) -> int:
        """Demonstrations per few-shot prompt."""
        return self.plain.shots

    @property
    def contrasts(self) -> Any:
        """Questions with right and wrong answers, where the task has them."""
        return getattr(self.plain, "contrasts", ())

    @property
    def instruction(self) -> str:
        """The task in words."""
        return self.plain.instruction

    def prompt(self, demonstrations: Sequence[tuple[str, str]], query: str) -> str:
        """The chat-templated text that lm-eval renders for a query after the demonstrations."""
        message = {"role": "user", "content": self.plain.prompt(demonstrations, query)}
        rendered: str = self.lm.apply_chat_template([message])
        return rendered

    def target(self, y: str) -> str:
        """An answer as it follows the prompt."""
        return self.plain.target(y)

    def demonstration(self, x: str, y: str) -> str:
        """One answered question."""
        return self.plain.demonstration(x, y)

    def fingerprint(self) -> str:
        """Differs from that of the plain examples."""
        return f"{self.plain.fingerprint()}-chat"
