"""lm-eval's `hf`, with generation that depends on neither the batch nor what was asked before.

Four corners of HFLM are turned here, and nothing else:

- Sampling draws from one stream of random numbers per prompt, named by seed, task and document
  (`sampling`), where HFLM draws from torch's global one.
- Each row ends at its own stop sequence, and beams are looked at one by one; HFLM looks at the
  first b rows only, which under beams are not the b prompts.
- `batch_size=auto:N` works on fewer than N requests.
- What the system says reaches a model whose chat template has no place for it (Gemma, Mistral):
  it opens the first message of the user. HFLM leaves it out, with a remark that nobody sees.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jinja2
import torch
from lm_eval.models.huggingface import HFLM
from transformers import StoppingCriteria, StoppingCriteriaList

from harness.errors import one_line
from harness.lm.arguments import BadArguments, bad_generation
from harness.lm.sampling import Draws
from harness.lm.scoring import Owned, owned
from task_defs.guard import is_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lm_eval.api.instance import Instance
    from torch import Tensor


class EachRowStops(StoppingCriteria):
    """A row is done when what it wrote holds a stop sequence."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], width: int) -> None:
        """Look for texts.

        Args:
            tokenizer: Decodes what was written.
            stop: The texts.
            width: Tokens of the padded prompt.
        """
        self.tokenizer, self.stop, self.width = tokenizer, list(stop), width
        tokens = [len(tokenizer.encode(text, add_special_tokens=False)) for text in self.stop]
        self.last = max(tokens, default=0) + 2  # the same text may come in other tokens

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        """Which rows are done (b)."""
        written = self.tokenizer.batch_decode(input_ids[:, self.width :][:, -self.last :])
        done = [any(text in row for text in self.stop) for row in written]
        return torch.tensor(done, device=input_ids.device)


@contextmanager
def _generation(settings: dict[str, Any]) -> Iterator[None]:
    """Say whose settings are at fault where `generate` does not know one.

    Raises:
        BadArguments: with what was given.
    """
    try:
        yield
    except (ValueError, AssertionError, ImportError) as problem:
        if is_own(problem):
            raise
        own = {key: value for key, value in settings.items() if not isinstance(value, torch.Tensor)}
        raise bad_generation("generation", own, problem) from problem


class PlainLM(HFLM):  # type: ignore[misc]  # lm-eval is untyped
    """HFLM, generating row by row as if each were alone.

    Attributes:
        sampling_seed: Seed of sampled answers; None takes torch's, which lm-eval's `--seed` sets.
    """

    sampling_seed: int | None = None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """HFLM's rendering; a system message that the template would lose joins the user's."""
        if chat_history and chat_history[0]["role"] == "system" and not self._hears_the_system:
            system, user, *rest = chat_history
            joined = f"{system['content'].rstrip()}\n\n{user['content']}"
            chat_history = [{**user, "content": joined}, *rest]
        try:
            rendered: str = super().apply_chat_template(chat_history, add_generation_prompt)
        except (jinja2.exceptions.TemplateError, ValueError) as problem:
            raise BadArguments(
                f"the chat template of {self.pretrained!r} cannot word this conversation "
                f"({one_line(problem)[:200]}); leave --apply_chat_template out, or say "
                "--fewshot_as_multiturn false"
            ) from problem
        return rendered

    @cached_property
    def _hears_the_system(self) -> bool:
        """Whether the chat template says what a system message says."""
        said = "a sentence of the system"
        chat = [{"role": "system", "content": said}, {"role": "user", "content": "x"}]
        with suppress(jinja2.exceptions.TemplateError):
            return said in self.tokenizer.apply_chat_template(chat, tokenize=False)
        return False

    _asked: Sequence[str] = ()  # the prompts that are generated from

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generated continuations; sampled ones by seed, task, document and number."""
        answers: list[str] = super().generate_until(owned(requests), disable_tqdm=disable_tqdm)
        return answers

    def tok_batch_encode(self, strings: Sequence[str], *args: Any, **kwargs: Any) -> Any:
        """HFLM's encoding of the prompts that are generated from next; notes whose they are."""
        self._asked = strings
        return super().tok_batch_encode(strings, *args, **kwargs)

    def copies(self, settings: dict[str, Any]) -> int:
        """Rows that `generate` makes of each prompt: its beams, or its sampled sequences."""
        own = self.model.generation_config
        names = ("num_beams", "num_return_sequences")
        return max(int(settings.get(name) or getattr(own, name, None) or 1) for name in names)

    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **settings: Any
    ) -> Tensor:
        """Tokens of prompt and answer, one row per prompt: of several sequences the best, first."""
        if not settings.get("do_sample"):
            settings["do_sample"] = False
        if not settings.get("temperature"):  # HFLM's zero, where nobody named one
            settings.pop("temperature", None)
        settings["return_dict_in_generate"] = False  # the tokens alone, whatever a model's own says
        keys = [text.draw if isinstance(text, Owned) else str(text) for text in self._asked]
        seed = torch.initial_seed() if self.sampling_seed is None else self.sampling_seed
        stopping = EachRowStops(self.tokenizer, stop, context.shape[1])
        with (
            _generation(settings),
            Draws(seed, keys) if settings["do_sample"] else nullcontext(),
            torch.autocast(
                device_type=self.device.type,
                dtype=self.mixed_precision_dtype,
                enabled=self.mixed_precision_dtype is not None,
            ),
        ):
            found: Tensor = self.model.generate(
                input_ids=context,
                max_length=max_length,
                stopping_criteria=StoppingCriteriaList([stopping]),
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                **settings,
            )
        return found[:: len(found) // len(context)]

    def _batch_scheduler(self, pos: int, requests: Sequence[Any]) -> int:
        """HFLM's size for the batch that begins at a request; searched N times in all."""
        part = int(pos * self.batch_schedule // len(requests))
        if part not in self.batch_sizes:
            before = list(self.batch_sizes.values())[-1:]
            largest = before == [self.max_batch_size]  # later requests are shorter
            self.batch_sizes[part] = (
                self.max_batch_size if largest else self._detect_batch_size(requests, pos)
            )
        return int(self.batch_sizes[part])
