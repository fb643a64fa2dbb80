"""An lm-eval model that fits its steering vector itself: the base class of `steer-<method>`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import task_defs
from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments, refuse_unknown
from harness.lm.heard import Heard
from harness.lm.wording import PLAIN, Worded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm_eval.api.instance import Instance

    from harness.lm.scoring import Answer
    from steering import SteeringMethod, SteeringVector


class MethodLM(SteeredLM):
    """`steer-<method>`: pretrained=MODEL and task=NAME or vector=FOLDER, and the method's settings.

    Settings go by their own names beside HFLM's arguments
    (`pretrained=gpt2,task=antonym,layer=4,top_heads=10,dtype=float32`).
    """

    method: ClassVar[type[SteeringMethod]]
    _heard: Heard | None = None
    _unfitted: tuple[SteeringMethod, float | None] | None = None

    def __init__(
        self,
        pretrained: Any = None,
        *,
        task: str | None = None,
        vector: Any = None,
        coefficient: float | None = None,
        **arguments: Any,
    ) -> None:
        """Prepare a fit on a task's train split, or load a saved vector of the same method.

        The fit follows when lm-eval asks: only then it is known how prompts are worded.

        Args:
            pretrained: Hub id, folder, or a loaded model, as in HFLM.
            task: Task whose train split the vector is fitted on.
            vector: Folder of a saved steering vector (or the vector itself), instead of `task`.
            coefficient: Strength; the method's default, or the saved vector's own.
            **arguments: The method's settings and HFLM's arguments.

        Raises:
            ValueError: an unknown or contradicting argument; one line.
        """
        name = self.alias
        fields = {field.name for field in dataclasses.fields(self.method)}
        self.own_arguments = tuple(sorted({"task", "vector", "coefficient", *fields}))
        loads_model = isinstance(pretrained, str)
        refuse_unknown(name, arguments, self.own_arguments, loads_model=loads_model)
        settings = {key: value for key, value in arguments.items() if key in fields}
        hflm = {key: value for key, value in arguments.items() if key not in fields}
        if (task is None) == (vector is None):
            raise BadArguments(
                f"{name} needs one of task=NAME (fit on its train split) and vector=FOLDER, got "
                f"task={task!r} and vector={vector!r}"
            )
        if task is None:
            if settings:
                raise BadArguments(
                    f"{name} got vector={str(vector)!r} with {', '.join(sorted(settings))}: these "
                    "settings belong to a fit; leave them out, or give task=NAME instead of vector"
                )
            super().__init__(pretrained, vector=vector, coefficient=coefficient, **hflm)
            self._refuse_other_method()
            return
        if coefficient is not None and "coefficient" in fields:
            settings["coefficient"] = coefficient
        method = self.method.from_settings(settings)
        examples = task_defs.examples(task, "train")
        super().__init__(pretrained, **hflm)
        self._heard = Heard(examples, self)
        self._unfitted = method, coefficient

    @property
    def vector(self) -> SteeringVector | None:
        """The vector; fitted on plain prompts where nothing was asked so far."""
        self._fit(())
        return super().vector

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """HFLM's rendering; the fit's prompts will be rendered alike."""
        if self._heard and self._unfitted:
            self._heard.note(chat_history)
        return super().apply_chat_template(chat_history, add_generation_prompt)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Answer]:
        """As in SteeredLM, under the vector that is fitted as the requests are worded."""
        self._fit(requests)
        return super().loglikelihood(requests, disable_tqdm)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """As in SteeredLM, under the vector that is fitted on plain prompts."""
        self._fit(requests)
        return super().loglikelihood_rolling(requests, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """As in SteeredLM, under the vector that is fitted as the requests are worded."""
        self._fit(requests)
        return super().generate_until(requests, disable_tqdm)

    def _fit(self, requests: Sequence[Instance]) -> None:
        """Fit once, on prompts that are worded as the first requests; refuse others later."""
        if self._heard is None:
            return
        if self._unfitted:
            (method, coefficient), self._unfitted = self._unfitted, None
            plain, wording = self._heard.examples, self._heard.wording(requests)
            self._worded = Worded(plain, wording, self)
            examples = plain if wording == PLAIN else self._worded
            self._take(method.fit(self.model, self.tokenizer, examples), coefficient)
        self._heard.require(requests, self._worded)

    def _refuse_other_method(self) -> None:
        fitted_by = self.vector.provenance.get("method") if self.vector else None
        if fitted_by not in (None, self.method.name):
            raise BadArguments(
                f"{self.alias} got a vector fitted by {fitted_by!r}; use --model steer-{fitted_by} "
                "or steer-vector, so that results carry the right name"
            )
