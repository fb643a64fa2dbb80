"""An lm-eval model that fits its steering vector itself: the base class of `steer-<method>`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import task_defs
from harness.lm.adapter import SteeredLM
from harness.lm.arguments import BadArguments, refuse_unknown

if TYPE_CHECKING:
    from steering import SteeringMethod


class MethodLM(SteeredLM):
    """`steer-<method>`: pretrained=MODEL and task=NAME or vector=FOLDER, and the method's settings.

    Settings go by their own names beside HFLM's arguments
    (`pretrained=gpt2,task=antonym,layer=4,top_heads=10,dtype=float32`).
    """

    method: ClassVar[type[SteeringMethod]]

    def __init__(
        self,
        pretrained: Any = None,
        *,
        task: str | None = None,
        vector: Any = None,
        coefficient: float | None = None,
        **arguments: Any,
    ) -> None:
        """Fit the method on a task's train split, or load a saved vector of the same method.

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
        fitted = method.fit(self.model, self.tokenizer, examples)
        self._take(fitted, coefficient)

    def _refuse_other_method(self) -> None:
        fitted_by = self.vector.provenance.get("method") if self.vector else None
        if fitted_by not in (None, self.method.name):
            raise BadArguments(
                f"{self.alias} got a vector fitted by {fitted_by!r}; use --model steer-{fitted_by} "
                "or steer-vector, so that results carry the right name"
            )
