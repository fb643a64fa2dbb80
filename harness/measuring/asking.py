"""What is said about how tasks are asked; light, for the command line and for pytest."""

from __future__ import annotations

from dataclasses import dataclass

from harness.reference import REFERENCE

FRAMES = ("zero_shot", "paraphrase")
DOSES = 1e-4, 1e2
"""Nats per token that can be told from rounding and are not noise."""


@dataclass(frozen=True)
class Asking:
    """What is said about it on the command line.

    Attributes:
        chat: `always` or `never`: every task; `default`: tasks asked in a frame, where the model is
            instruction-tuned; `auto`: the others too, where few-shot answers on validation are
            better so.
        system_instruction: As in lm-eval.
        fewshot_as_multiturn: As in lm-eval; None is true where the template is used.
        frame: The baseline's prompting of tasks that have a frame; the others have zero_shot.
        templates: In how many other wordings what was tuned is asked again.
    """

    chat: str = "default"
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    frame: str = "zero_shot"
    templates: int = 0


PLAINLY = Asking("never")
"""How papers ask."""


def default_frame(model: str) -> str:
    """The frame where nobody names one: the built-in model was not trained on any."""
    return FRAMES[model != REFERENCE]
