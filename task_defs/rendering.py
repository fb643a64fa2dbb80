"""Turn pairs into prompts: the text that lm-eval renders for the same task."""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jinja2

from task_defs import code
from task_defs.guard import users_code


class BadTemplate(ValueError):
    """A template, or a function in its place, that fails."""


Pair = tuple[str, str]
Turn = tuple[str, str, str]
"""Role and text of a message, and what stands after it where all of them are one text."""
Field = str | Callable[[Mapping[str, Any]], Any]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = lambda text, pattern, by, count=0: re.sub(
        pattern, by, text, count=count
    )
    return environment


@functools.cache
def _compiled(template: str) -> jinja2.Template:
    """Compile a template once: a fit renders the same one thousands of times."""
    return _environment().from_string(template)


def resolve(template: Field, doc: Mapping[str, Any]) -> str:
    """Render a task's `doc_to_...` key: a function, a field's name or a Jinja template."""
    if callable(template):
        with users_code(getattr(template, "__qualname__", repr(template)), BadTemplate):
            value = template(doc)
    elif not isinstance(template, str):
        value = template
    elif template in doc:
        value = doc[template]
    else:
        try:
            value = _compiled(template).render(**doc)
        except Exception as error:  # a template can call what it likes
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BadTemplate(f"{reason}, in the template {template[:60]!r}") from error
    return str(value[0] if isinstance(value, list) and value else value)


@dataclass(frozen=True)
class Template:
    """How a task words a question and its answer."""

    text: Field
    target: Field
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    description: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Template":
        """Read the template of a task's configuration; missing delimiters are lm-eval's."""
        return cls(
            text=config["doc_to_text"],
            target=config["doc_to_target"],
            target_delimiter=config.get("target_delimiter", " "),
            fewshot_delimiter=config.get("fewshot_delimiter", "\n\n"),
            description=config.get("description") or "",
        )

    def spelled(self) -> Any:
        """Return the parts as plain data, a function by its source, for a fingerprint."""
        parts = (self.text, self.target, self.target_delimiter, self.fewshot_delimiter)
        return code.spelled([*parts, self.description])


@dataclass(frozen=True)
class Examples:
    """Pairs of one split, with the task's own way to word them."""

    name: str
    pairs: tuple[Pair, ...]
    shots: int
    template: Template
    instruction: str = ""

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def target(self, y: str) -> str:
        """Return an answer as it follows the prompt, delimiter included."""
        return self.template.target_delimiter + resolve(
            self.template.target, {"input": "", "output": y}
        )

    def chat_target(self, y: str) -> str:
        """Return an answer as it follows the header of a chat template."""
        return resolve(self.template.target, {"input": "", "output": y})

    def demonstration(self, x: str, y: str) -> str:
        """Return one answered question as it stands in a few-shot prompt."""
        question = resolve(self.template.text, {"input": x, "output": y})
        return question + self.target(y) + self.template.fewshot_delimiter

    def prompt(self, demonstrations: Sequence[Pair], query: str) -> str:
        """Return the text that lm-eval renders for a query after the demonstrations."""
        question = resolve(self.template.text, {"input": query, "output": ""})
        shown = "".join(self.demonstration(x, y) for x, y in demonstrations)
        return self.description(query) + shown + question

    @property
    def delimiter(self) -> str:
        """What stands between demonstrations, and between a system prompt and a description."""
        return self.template.fewshot_delimiter

    def description(self, query: str) -> str:
        """Return what stands before everything else."""
        return resolve(self.template.description, {"input": query, "output": ""})

    def turns(self, demonstrations: Sequence[Pair], query: str) -> list[Turn]:
        """Return the messages of a conversation that ends where the answer begins."""
        own, found = self.template, []
        for x, y in demonstrations:
            shown = {"input": x, "output": y}
            found.append(("user", resolve(own.text, shown), own.target_delimiter))
            found.append(("assistant", resolve(own.target, shown), own.fewshot_delimiter))
        return [*found, ("user", resolve(own.text, {"input": query, "output": ""}), "")]

    def reworded(self, text: str) -> "Examples":
        """Return the same pairs, asked in the words of another template."""
        return replace(self, template=replace(self.template, text=text))

    def opened(self, text: str) -> "Examples":
        """Return the same pairs, with a text before every prompt."""
        own = self.template
        return replace(self, template=replace(own, description=text + own.description))

    def fingerprint(self) -> str:
        """Return the sha256 of the pairs and of the template."""
        content = {"pairs": self.pairs, "template": self.template.spelled(), "shots": self.shots}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
