"""How prompts are put to a model: lm-eval's three options, and examples worded by them.

A vector is fitted on prompts that are worded as the documents are that it will steer: by the same
template, after the same system prompt, with demonstrations as turns or in one message. The text
is made by lm-eval's own functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from lm_eval.api.utils import Message, maybe_delimit, multiturn_to_singleturn

from harness.lm.arguments import BadArguments
from steering import Examples

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

    from task_defs.rendering import Turn


class Told(Examples, Protocol):
    """Examples that can be told as a conversation too, whatever template it is put into."""

    @property
    def instruction(self) -> str:
        """The task in words."""

    @property
    def delimiter(self) -> str:
        """What stands between a system prompt and a description."""

    def description(self, query: str) -> str:
        """What stands before everything else."""

    def turns(self, demonstrations: Sequence[tuple[str, str]], query: str) -> list[Turn]:
        """The messages of a conversation that ends where the answer begins."""

    def chat_target(self, y: str) -> str:
        """An answer as it follows a chat template's header, or the words that it begins with."""

    def reworded(self, text: str) -> Self:
        """The same examples, asked in other words."""

    def opened(self, text: str) -> Self:
        """The same examples, with a text before every prompt."""


@dataclass(frozen=True)
class Wording:
    """lm-eval's options of the same names.

    Attributes:
        chat_template: Put prompts into the model's chat template.
        system_instruction: What stands before everything, or is the system's message.
        fewshot_as_multiturn: Demonstrations are turns of a conversation, not one message.
    """

    chat_template: bool = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool = False

    @classmethod
    def of(
        cls, chat_template: bool, system_instruction: str | None, turns: bool | None = None
    ) -> Wording:
        """The options as lm-eval's command takes them: under a template, turns unless denied.

        Raises:
            BadArguments: turns without a template.
        """
        if turns and not chat_template:
            raise BadArguments(
                "fewshot_as_multiturn needs a chat template for its turns; add apply_chat_template"
            )
        return cls(
            chat_template, system_instruction or None, chat_template if turns is None else turns
        )

    def requests(self, lm: HFLM) -> dict[str, Any]:
        """What lm-eval's `build_all_requests` is told."""
        return {
            "apply_chat_template": self.chat_template,
            "chat_template": lm.apply_chat_template if self.chat_template else None,
            "tokenizer_name": lm.tokenizer_name if self.chat_template else "",
            "system_instruction": self.system_instruction,
            "fewshot_as_multiturn": self.fewshot_as_multiturn,
        }


PLAIN = Wording()


END = "<|endoftext|>"
"""What opens a text in the vocabulary of GPT-2 and of those after it, whatever BOS they name."""


def opening(lm: HFLM) -> str:
    """The token that opens a text, where a tokenizer has one and does not put it there itself.

    As in the function vector paper's code. SmolLM2 after 10 demonstrations, 30 documents:
    country-capital .667 after END, .567 after the BOS that opens a turn, .567 after nothing.
    """
    own = lm.tokenizer.bos_token
    if own is not None and lm.tok_encode("a")[:1] == lm.tokenizer.convert_tokens_to_ids([own]):
        return ""
    found = [text for text in (END, own) if text is not None and text in lm.tokenizer.get_vocab()]
    return str(found[0]) if found else ""


@dataclass(frozen=True)
class Worded:
    """A task's examples in a wording.

    Attributes:
        plain: The task's own.
        wording: How they are put to the model.
        lm: The model, which knows its chat template.
    """

    plain: Told
    wording: Wording
    lm: HFLM

    @property
    def name(self) -> str:
        """The task's name."""
        return self.plain.name

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
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
        """The text that lm-eval renders for a query after the demonstrations."""
        own = self.wording
        description = self.plain.description(query)
        system = maybe_delimit(own.system_instruction, description, self.plain.delimiter)
        messages = [Message(*turn) for turn in self.plain.turns(demonstrations, query)]
        messages = [*([Message("system", system)] if system else []), *messages]
        if not own.chat_template:
            return "".join(message.to_text() for message in messages)
        begun = messages[-1].role == "assistant"
        turns = own.fewshot_as_multiturn
        chat = [m.to_dict() for m in messages] if turns else multiturn_to_singleturn(messages)
        return str(self.lm.apply_chat_template(chat, add_generation_prompt=not begun))

    def target(self, y: str) -> str:
        """An answer as it follows the prompt: right after a template's header, without a blank."""
        return self.plain.chat_target(y) if self.wording.chat_template else self.plain.target(y)

    def demonstration(self, x: str, y: str) -> str:
        """One answered question, as the model reads it."""
        if not self.wording.chat_template:
            return self.plain.demonstration(x, y)
        return self.prompt((), x) + self.target(y)

    def fingerprint(self) -> str:
        """That of the plain examples, with the wording and what the template makes of a word."""
        worded = json.dumps([asdict(self.wording), self.demonstration("x", "y")])
        return f"{self.plain.fingerprint()}-{hashlib.sha256(worded.encode()).hexdigest()[:12]}"
