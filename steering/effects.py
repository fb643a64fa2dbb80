"""Causal indirect effects of attention heads (arXiv:2310.15213, section 2.3), exactly.

For each head: put its mean activation in its place at the last prompt token, finish the forward
pass, and see how much likelier the right answer has become. Three ways to the same numbers:

* `staged`: every head in one forward pass, each from its own layer on;
* `branching`: the same with every head from the first layer on;
* `cached_prefix`: the prompt's beginning once, then single steps in batches;
* `naive`: one forward pass per head, as the paper's code does; the slow twin of the tests.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from steering.branching import Variant, answer_log_probs, patched_log_probs
from steering.errors import BadExamples, NotFinite
from steering.hooks import Change, changing
from steering.memo import reader, recall
from steering.rounding import same_but_for_rounding
from steering.sites import resolve
from steering.tokens import Ids, answer_ids, require_room
from steering.tracing import input_device

logger = logging.getLogger(__name__)

Path = Literal["auto", "staged", "branching", "cached_prefix", "naive"]
Target = Literal["first_token", "sequence"]

STEP_ROWS = 64
"""Rows of one batch of single steps."""

_best: WeakKeyDictionary[nn.Module, tuple[int, Path]] = WeakKeyDictionary()
"""By model: prompts of up to how many tokens were probed, and the path."""


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of all heads on all prompts.

    Attributes:
        values: (n, l, h): change of the answer's probability (first_token) or of the mean
            log-probability of its tokens (sequence). Zero at layers without heads.
        path: How they were computed.
    """

    values: Tensor
    path: str


def indirect_effects(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str],
    means: Tensor,
    *,
    path: Path = "auto",
    target: Target = "first_token",
    bos: bool = False,
) -> Effects:
    """Effect of every head on every prompt.

    Args:
        model: A Hugging Face decoder.
        tokenizer: Its tokenizer.
        prompts: n prompts with shuffled labels.
        answers: n right answers as they follow their prompt.
        means: Mean head activations (l, h, d_h).
        path: `auto` takes the fastest one that a probe shows to be right.
        target: What counts as the answer: its first token's probability, or the mean
            log-probability of all its tokens.
        bos: As in `tokens.prompt_ids`.
    """

    def compute() -> Effects:
        layout = resolve(model)
        heads = layout.heads
        places = tuple(torch.tensor(heads).T)
        asked, wanted = answer_ids(tokenizer, prompts, answers, bos=bos)
        require_room(model, [[*x, *y[:-1]] for x, y in zip(asked, wanted, strict=True)])
        for prompt, answer, text in zip(asked, wanted, answers, strict=True):
            if not prompt or not answer:
                raise BadExamples(f"the prompt or the answer {text!r} has no token; give others")
        taken = best_path(model, asked) if path == "auto" else path
        tokens = [answer[:1] for answer in wanted] if target == "first_token" else wanted
        found = []
        for rows in PATHS[taken](model, asked, tokens, heads, means):
            log_probs = rows.double()
            scores = log_probs[:, 0].exp() if target == "first_token" else log_probs.mean(dim=1)
            table = torch.zeros(layout.n_layers, layout.n_heads, dtype=torch.float64)
            table[places] = scores[1:] - scores[0]
            found.append(table)
        values = torch.stack(found)
        if not torch.isfinite(values).all():
            raise NotFinite("effects are NaN or infinite; load the model in float32 or bfloat16")
        return Effects(values.float(), taken)

    digest = hashlib.sha256(means.contiguous().numpy().tobytes()).hexdigest()
    own = reader(model, tokenizer)
    key = ("effects", own, tuple(prompts), tuple(answers), digest, path, target, bos)
    return recall(key, compute)


@torch.no_grad()
def naive_log_probs(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    variants: Sequence[Variant],
    means: Tensor,
) -> Tensor:
    """One plain forward pass per head: (k + 1, m), for one prompt as in `patched_log_probs`."""
    ids = torch.tensor([[*prompt, *answer[:-1]]], device=input_device(model))
    found = []
    for variant in (None, *variants):
        with _replacing(model, [variant], means, len(prompt) - 1):
            logits = model(input_ids=ids, use_cache=False).logits
        found.append(_scores(logits, answer))
    return torch.cat(found).cpu()


def _scores(logits: Tensor, answer: Ids) -> Tensor:
    """Log-probabilities (b, m) of an answer that ends one token after the logits (b, s, v) do."""
    return answer_log_probs(logits[None, :, -len(answer) :], [answer])[0]


@torch.no_grad()
def cached_log_probs(
    model: Any,
    prompt: Sequence[int],
    answer: Sequence[int],
    variants: Sequence[Variant],
    means: Tensor,
) -> Tensor:
    """The prompt's beginning once, then one row per head; result as in `naive_log_probs`."""
    if len(prompt) < 2:
        return naive_log_probs(model, prompt, answer, variants, means)
    begun = torch.tensor([prompt[:-1]], device=input_device(model))
    cache = model(input_ids=begun, use_cache=True).past_key_values
    rest = torch.tensor([[prompt[-1], *answer[:-1]]], device=input_device(model))
    found = []
    every: list[Variant | None] = [None, *variants]
    for start in range(0, len(every), STEP_ROWS):
        chosen = every[start : start + STEP_ROWS]
        own = copy.deepcopy(cache)
        own.batch_repeat_interleave(len(chosen))
        seen = torch.ones(len(chosen), begun.shape[1] + rest.shape[1], device=input_device(model))
        with _replacing(model, chosen, means, 0):
            logits = model(
                input_ids=rest.expand(len(chosen), -1),
                attention_mask=seen.long(),
                past_key_values=own,
                use_cache=True,
            ).logits
        found.append(_scores(logits, answer))
    return torch.cat(found).cpu()


@contextmanager
def _replacing(
    model: Any, chosen: Sequence[Variant | None], means: Tensor, token: int
) -> Iterator[None]:
    """In row i, replace the slice of head chosen[i] at one token."""
    layout = resolve(model)
    at: dict[int, list[tuple[int, int]]] = {}
    for row, variant in enumerate(chosen):
        if variant is not None:
            at.setdefault(variant[0], []).append((row, variant[1]))

    def patch(layer: int) -> Change:
        rows, heads = torch.tensor(at[layer], device=input_device(model)).T
        tokens, values = torch.full_like(rows, token), means.to(input_device(model))[layer, heads]
        return lambda x: layout.with_heads(x, layer, rows, tokens, heads, values)

    with changing(model, {("head_output", layer): patch(layer) for layer in at}):
        yield


def _one_by_one(path: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """A path that takes one prompt at a time, for many."""

    def each(
        model: Any, prompts: Sequence[Ids], answers: Sequence[Ids], *more: Any
    ) -> list[Tensor]:
        pairs = zip(prompts, answers, strict=True)
        return [path(model, prompt, answer, *more) for prompt, answer in pairs]

    return each


PATHS: dict[str, Callable[..., list[Tensor]]] = {
    "staged": patched_log_probs,
    "branching": partial(patched_log_probs, staged=False),
    "cached_prefix": _one_by_one(cached_log_probs),
    "naive": _one_by_one(naive_log_probs),
}


def best_path(model: Any, prompts: Sequence[Ids]) -> Path:
    """The fastest path that agrees with plain forward passes on prompts of such lengths.

    Probed anew where prompts are longer than any before: what a layer sees may end somewhere.
    """
    longest = max(map(len, prompts), default=1)
    probed, path = _best.get(model, (0, "staged"))
    if longest > probed:
        most = getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf
        probed = max(8, longest, int(min(2 ** math.ceil(math.log2(longest)), most)))
        fast: tuple[Path, ...] = ("staged", "branching", "cached_prefix")
        path = next((path for path in fast if _agrees(model, path, probed)), "naive")
        if path == "naive":
            logger.warning(
                "%s: head effects take one forward pass per head and prompt, because no faster way "
                "gives what plain passes give", type(model).__name__,
            )  # fmt: skip
        _best[model] = probed, path
    return path


def _agrees(model: Any, path: Path, length: int) -> bool:
    """Compare log-probabilities of two texts of `length` tokens or fewer, patched at all depths."""
    branches = path in ("staged", "branching")
    if branches and "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    layout = resolve(model)
    generator = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().num_embeddings
    ids = torch.randint(min(3, size - 1), size, (length + 1,), generator=generator).tolist()
    means = torch.randn(layout.n_layers, layout.n_heads, layout.head_dim, generator=generator)
    layers = layout.layers("head_output")
    first, middle, last = layers[0], layers[len(layers) // 2], layers[-1]
    variants = [(last, layout.n_heads - 1), (first, 0), (middle, 0), (last, 0)]
    half, end = length // 2, length - 2
    prompts, answers = [ids[:end], ids[1:half]], [ids[end:], ids[half : half + 3]]
    try:
        fast = PATHS[path](model, prompts, answers, variants, means)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError):
        return False  # a mask that it does not take, a cache that cannot be repeated

    def plain() -> Tensor:
        return torch.cat(PATHS["naive"](model, prompts, answers, variants, means), dim=1)

    return same_but_for_rounding(model, torch.cat(fast, dim=1), plain, allowed=1e-4)
