"""How lm-eval words what it asks, found out from what it asks.

lm-eval makes a model before it decides on chat template, system prompt and turns, and tells the
model none of them: it has the model render conversations, and asks the texts. A method that fits
itself inside lm-eval reads from both in which wording its own examples must be rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.lm.arguments import BadArguments
from harness.lm.wording import PLAIN, Worded, Wording
from task_defs.rendering import resolve

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from task_defs import Examples

Conversation = Sequence[dict[str, str]]


class Heard:
    """What was rendered for a task that a vector is fitted on.

    Args:
        examples: The task's own, as plain text.
        lm: The model that is asked.
    """

    def __init__(self, examples: Examples, lm: HFLM) -> None:
        self.examples, self.lm = examples, lm
        self.longest: Conversation = ()

    def note(self, conversation: Conversation) -> None:
        """Remember the conversation with the most messages."""
        if len(conversation) > len(self.longest):
            self.longest = list(conversation)

    def wording(self, requests: Sequence[Instance]) -> Wording:
        """How requests are put to the model."""
        asked = [*self._own(requests)]
        if not self.longest:
            return self._before(*asked[0]) if asked else PLAIN
        first, *rest = self.longest
        system = first["content"] if first["role"] == "system" else None
        messages = rest if system is not None else self.longest
        alone = {self._question(x) for _, x in asked}
        several = bool(asked) and messages[0]["content"] not in alone
        return Wording.of(True, self._instruction(system), len(messages) > 1 or not several)

    def require(self, requests: Sequence[Instance], worded: Worded) -> None:
        """Refuse requests in another wording than the examples'.

        Raises:
            BadArguments: one of the task's own prompts begins or ends otherwise.
        """
        for prompt, x in self._own(requests):
            single, question = worded.prompt((), x), self._question(x)
            at = single.rfind(question)
            if not (prompt.startswith(single[:at]) and prompt.endswith(single[at:])):
                raise BadArguments(
                    f"the vector is fitted on prompts of {self.examples.name} such as "
                    f"{single[-80:]!r} and is asked {prompt[-80:]!r}; fit it by `steergauge fit` "
                    "with the same chat template and system prompt and pass vector=FOLDER"
                )

    def _own(self, requests: Sequence[Instance]) -> Iterator[tuple[str, str]]:
        """Prompts of the task itself, with their inputs."""
        for request in requests:
            own = request.task_name == self.examples.name and isinstance(request.doc, dict)
            if own and "input" in request.doc:
                yield str(request.args[0]), str(request.doc["input"])

    def _question(self, x: str) -> str:
        return resolve(self.examples.template.text, {"input": x, "output": ""})

    def _instruction(self, system: str | None) -> str | None:
        """A system message without the task's description, which examples bring themselves."""
        description = self.examples.description("")
        kept = (system or "").removesuffix(description)
        return kept.removesuffix(self.examples.delimiter) if kept != system else system

    def _before(self, prompt: str, x: str) -> Wording:
        """The system prompt of a plain text: what stands before its first demonstration."""
        own = self.examples
        rest = prompt.removesuffix(self._question(x))
        places = [rest.find(own.demonstration(*pair)) for pair in own.pairs]
        shown = min((place for place in places if place >= 0), default=len(rest))
        system = rest[:shown].removesuffix(own.description(x))
        for each in (system.removesuffix(own.delimiter), system):
            wording = Wording.of(False, each)
            if prompt.startswith(Worded(own, wording, self.lm).prompt((), x)[: shown or None]):
                return wording
        return PLAIN
