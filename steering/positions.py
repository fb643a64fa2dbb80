"""Which tokens of a forward pass an edit touches.

Scoring rows are right-padded and hold prompt and continuation: their lengths are given.
Generation is left-padded: the prompt ends at the same column in every row, and later passes hold
tokens after it. A plain forward pass is all prompt, and its attention mask says which tokens are
real. Edits of padding change nothing, because nothing attends to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

POSITIONS = ("all", "prompt", "last_prompt", "continuation", "generated")
_TOKEN = re.compile(r"(prompt|middle)\[(-?\d{1,6})\]")


def is_known(kind: object) -> bool:
    """Whether a value is one of POSITIONS or names one token of the prompt.

    `prompt[0]` is its first real token, `prompt[-1]` its last; `middle[k]` lies k tokens after
    token s // 2 of a prompt of s.
    """
    return kind in POSITIONS or (isinstance(kind, str) and _TOKEN.fullmatch(kind) is not None)


def follows_the_beginning(kind: str) -> bool:
    """Whether the edited tokens of a prompt's beginning are the same whatever comes after it."""
    token = _TOKEN.fullmatch(kind)
    return token is None or (token[1] == "prompt" and not token[2].startswith("-"))


def mask(
    kind: str,
    *,
    width: int,
    past: int,
    attention_mask: Tensor | None = None,
    prompt_lengths: Tensor | None = None,
    lengths: Tensor | None = None,
    prompt_width: int | None = None,
    after: Tensor | None = None,
) -> Tensor:
    """The edited tokens of one forward pass.

    Args:
        kind: One of POSITIONS, or a token (`is_known`).
        width: Tokens in this pass (s).
        past: Tokens before this pass, in the KV cache.
        attention_mask: (b, past + s), 1 for real tokens.
        prompt_lengths: (b) prompt tokens of right-padded rows, with `lengths`.
        lengths: (b) real tokens of right-padded rows.
        prompt_width: Padded width of left-padded prompts. Without it a pass with an empty cache is
            all prompt, and every token after a filled cache is a generated one.
        after: (b) tokens of left-padded prompts that stand after their end (`steering.tokens`).

    Returns:
        Boolean mask (b, s), or (1, s) where all rows agree.
    """
    device = next((t.device for t in (lengths, attention_mask, after) if t is not None), None)
    index = torch.arange(past, past + width, device=device).unsqueeze(0)
    real = torch.ones_like(index, dtype=torch.bool)
    if prompt_lengths is not None and lengths is not None:
        last = prompt_lengths.to(device).unsqueeze(1) - 1
        real = index < lengths.unsqueeze(1)
    else:
        if attention_mask is not None:
            real = attention_mask[:, -width:].bool()
        if prompt_width is None and past == 0 and attention_mask is not None:
            last = (index * real).amax(dim=1, keepdim=True)
        else:
            last = torch.full_like(index[:, :1], (prompt_width or past or width) - 1)
            last = last if after is None else last - after.to(device).unsqueeze(1)
    token = _TOKEN.fullmatch(kind)
    if token is not None:
        begin = torch.zeros_like(last)
        if lengths is None and attention_mask is not None:
            begin = attention_mask.int().argmax(dim=1, keepdim=True).to(last)
        at, size = int(token[2]), last + 1 - begin
        anchor = size // 2 if token[1] == "middle" else (size if at < 0 else 0)
        return real & (index <= last) & (index == begin + anchor + at)
    if kind == "all":
        return real
    if kind == "prompt":
        return real & (index <= last)
    if kind == "last_prompt":
        return real & (index == last)
    if kind == "continuation":
        return real & (index >= last)
    return real & (index > last)


@dataclass
class Pass:
    """What is known about one forward pass; gives an edit its tokens as cheaply as it can."""

    batch: int
    width: int
    past: int = 0
    attention_mask: Tensor | None = None
    prompt_lengths: Tensor | None = None
    lengths: Tensor | None = None
    prompt_width: int | None = None
    after: Tensor | None = None

    def __post_init__(self) -> None:
        self._chosen: dict[str, slice | Tensor] = {}

    def choose(self, kind: str) -> slice | Tensor:
        """A slice of the token axis where all rows agree, a mask (b, s) where they differ."""
        if kind not in self._chosen:
            self._chosen[kind] = self._slice(kind) or mask(
                kind,
                width=self.width,
                past=self.past,
                attention_mask=self.attention_mask,
                prompt_lengths=self.prompt_lengths,
                lengths=self.lengths,
                prompt_width=self.prompt_width,
                after=self.after,
            )
        return self._chosen[kind]

    def _slice(self, kind: str) -> slice | None:
        if kind == "all":
            return slice(0, self.width)
        if self.lengths is not None or self.after is not None or kind not in POSITIONS:
            return None
        known = self.prompt_width or self.past
        if not known and self.attention_mask is not None:
            return None
        last = (known or self.width) - 1 - self.past  # column of the last prompt token
        start, stop = {
            "prompt": (0, last + 1),
            "last_prompt": (last, last + 1),
            "continuation": (last, self.width),
            "generated": (last + 1, self.width),
        }[kind]
        start, stop = max(start, 0), min(stop, self.width)
        return slice(start, max(start, stop))
