"""Whether a model was tuned on its chat template: found out by asking it, not by its name.

Base models carry templates too. A model that was tuned on conversations knows where an answer
ends: after a short answered question, the token that ends the turn in its template is its
likeliest next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

ANSWERED = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("What colour is the sky on a clear day?", "The sky is blue."),
)
"""Questions with answers that nothing needs to be added to."""


@torch.no_grad()
def ended_turns(lm: HFLM) -> int:
    """After how many of the answered questions the model ends the turn as its template does."""
    found = 0
    for question, answer in ANSWERED:
        chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        whole = lm.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=False, **lm.chat_template_args
        )
        head = whole[: whole.rindex(answer) + len(answer)]
        asked, both = lm.tok_encode(head), lm.tok_encode(whole)
        if len(both) > len(asked) and both[: len(asked)] == asked:
            logits = lm.model(torch.tensor([asked], device=lm.device), use_cache=False).logits
            found += int(logits[0, -1].argmax()) == both[len(asked)]
    return found


def instructed(lm: HFLM) -> tuple[bool, str]:
    """Whether a model is asked through its chat template unless somebody says otherwise, and why.

    Returns:
        The decision, and its reason for people.
    """
    if not lm.tokenizer.chat_template:
        return False, "the model has no chat template"
    ended = ended_turns(lm)
    share = f"{ended} of {len(ANSWERED)} answers"
    if 2 * ended > len(ANSWERED):
        return True, f"instruction-tuned: it ends {share} as its template does"
    return False, f"a base model with a template: it ends {share} as its template does"
