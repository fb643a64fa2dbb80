r"""Behaviour measured whole: fluency and the joint score, added to a behaviour task's samples.

A steering vector can reach the wanted style by breaking the text. So each output is also asked
whether the UNSTEERED model finds it about as likely as it finds real texts of the task:

    joint = attribute * content * fluency       per document, then the mean over documents

The product is taken per document because products of means credit a method that has the style in
some outputs and the content in others (Krishna, Wieting and Iyyer 2020, arXiv:2010.05700;
used alike for detoxification by Logacheva et al. 2022, ParaDetox). There fluency is a
classifier of acceptability; here it is a bound on perplexity, which needs no second model.

Perplexity is that of the text ALONE, after the token that opens a text, and not given the task's
prompt: given `Q: x\nA:` a copy of x would be the most fluent answer, and the bound would then
measure obedience. References and outputs are scored alike, so that what is odd about scoring a
text alone is odd for both. Loops need a second look, since a model finds them ever more likely
(Holtzman et al. 2020, arXiv:1904.09751): an empty or looping output is never fluent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from task_defs.behavior_shift.utils import degenerate

PERCENTILE = 95.0
"""Share of the references, in percent, that count as fluent."""

MOST_READ = 1000
"""References that tell the threshold; of more, those at even distances."""

ADDED = ("fluency", "joint")
"""The metrics that `score_documents` adds; a higher value of either is better."""


class NotScored(ValueError):
    """Fluency cannot be measured with what was given."""


def _opening_token(model: Any, tokenizer: Any) -> int | None:
    """The token that opens a text: BOS, else EOS, as in lm-eval's HFLM; None has no such token."""
    for name in ("bos_token_id", "eos_token_id"):
        for holder in (tokenizer, model.config):
            found = getattr(holder, name, None)
            if found is not None:
                return int(found[0] if isinstance(found, list) else found)
    return None


@torch.inference_mode()
def perplexities(
    model: Any, tokenizer: Any, texts: Sequence[str], *, batch_size: int = 32
) -> list[float]:
    """Per-token perplexity of each text alone, after the token that opens a text.

    With a tokenizer that has neither BOS nor EOS the first token is given, not predicted. Rows
    are right-padded, longest first; nothing may steer the model.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        texts: n texts, scored without the white space around them.
        batch_size: Texts per forward pass.

    Returns:
        n values; infinite for a text without a token that is predicted.

    Raises:
        NotScored: If the model's logits are not finite.
    """
    opening = _opening_token(model, tokenizer)
    first = [] if opening is None else [opening]
    longest = getattr(model.config, "max_position_embeddings", None)
    rows = [
        (first + tokenizer(text.strip(), add_special_tokens=False)["input_ids"])[:longest]
        for text in texts
    ]
    found = [math.inf] * len(texts)
    scored = sorted(
        (i for i, row in enumerate(rows) if len(row) > 1), key=lambda i: (-len(rows[i]), i)
    )
    for start in range(0, len(scored), batch_size):
        chosen = scored[start : start + batch_size]
        sizes = torch.tensor([len(rows[i]) for i in chosen], device=model.device)
        width = int(sizes.max())
        ids = torch.tensor(
            [rows[i] + [0] * (width - len(rows[i])) for i in chosen], device=model.device
        )  # (b, s)
        real = torch.arange(width, device=model.device) < sizes[:, None]
        logits = model(input_ids=ids, attention_mask=real.long(), use_cache=False).logits
        losses = F.cross_entropy(
            logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none"
        )  # (b, s - 1)
        means = losses.where(real[:, 1:], 0.0).sum(1) / (sizes - 1)
        for i, mean in zip(chosen, means.tolist(), strict=True):
            if math.isnan(mean):
                raise NotScored(
                    f"the model gives NaN for {texts[i][:40]!r}, expected finite logits; load it "
                    "in float32"
                )
            found[i] = math.exp(min(mean, 700.0))  # exp overflows beyond
    return found


def fluency_threshold(
    model: Any,
    tokenizer: Any,
    references: Sequence[str],
    *,
    percentile: float = PERCENTILE,
    batch_size: int = 32,
) -> float:
    """The largest perplexity that counts as fluent: the references' 95th percentile.

    Args:
        model: The unsteered model.
        tokenizer: Its tokenizer.
        references: Outputs of the task's train or validation split, never of its test split; 100
            or more make the percentile steady, and of more than MOST_READ some are read.
        percentile: Share of the references, in percent, that count as fluent (linear between
            the two nearest).
        batch_size: Texts per forward pass.

    Raises:
        NotScored: If there are no references with a token.
    """
    read = references[:: max(1, math.ceil(len(references) / MOST_READ))]
    found = [
        value
        for value in perplexities(model, tokenizer, read, batch_size=batch_size)
        if math.isfinite(value)
    ]
    if not found:
        raise NotScored(
            f"no perplexity from {len(references)} references, expected at least one text; give "
            "the outputs of the train or validation split"
        )
    values = torch.tensor(found, dtype=torch.float64)
    return float(torch.quantile(values, percentile / 100))


def fluency(
    model: Any,
    tokenizer: Any,
    outputs: Sequence[str],
    threshold: float,
    *,
    batch_size: int = 32,
) -> list[float]:
    """1 for each output within the references' range, else 0; empty and looping outputs get 0.

    Args:
        model: The unsteered model.
        tokenizer: Its tokenizer.
        outputs: n generated texts.
        threshold: From `fluency_threshold`, of the same model and task.
        batch_size: Texts per forward pass.
    """
    values = perplexities(model, tokenizer, outputs, batch_size=batch_size)
    broken = (degenerate(output, "") for output in outputs)
    return [
        float(value <= threshold and not flags["empty"] and not flags["repetition"])
        for value, flags in zip(values, broken, strict=True)
    ]


def score_documents(
    samples: Sequence[Mapping[str, Any]],
    *,
    model: Any,
    tokenizer: Any,
    threshold: float,
    batch_size: int = 32,
) -> list[dict[str, Any]]:
    """Copies of a behaviour task's samples with `fluency` and `joint` added.

    Args:
        samples: One mapping per document, with `output` (the generated text), `attribute` and
            `content`.
        model: The UNSTEERED model, no vector attached.
        tokenizer: Its tokenizer.
        threshold: From `fluency_threshold`, of the same model and task.
        batch_size: Texts per forward pass.
    """
    outputs = [str(sample["output"]) for sample in samples]
    fluent = fluency(model, tokenizer, outputs, threshold, batch_size=batch_size)
    return [
        {
            **sample,
            "fluency": value,
            "joint": sample["attribute"] * sample["content"] * value,
        }
        for sample, value in zip(samples, fluent, strict=True)
    ]
