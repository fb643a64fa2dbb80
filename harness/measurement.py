"""One task's requests, built once and answered under as many vectors as needed.

lm-eval's own `evaluate` builds and renders every request anew; a search over settings asks the
same documents again and again. The task's `process_results` makes the numbers in both.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.adapter import SteeredLM

Document = dict[str, Any]


def request_settings(lm: SteeredLM, chat_template: bool) -> dict[str, Any]:
    """What lm-eval's `build_all_requests` is told about chat templates."""
    return {
        "apply_chat_template": chat_template,
        "chat_template": lm.apply_chat_template if chat_template else None,
        "tokenizer_name": lm.tokenizer_name if chat_template else "",
    }


class Measurement:
    """A prompted task on one model, ready to be answered.

    Args:
        lm: The model.
        task: A prompted task; its test documents are asked.
        limit: Ask only the first documents.
        chat_template: Put the prompts into the model's chat template.
    """

    def __init__(
        self,
        lm: SteeredLM,
        task: ConfigurableTask,
        *,
        limit: int | None = None,
        chat_template: bool = False,
    ) -> None:
        self.lm, self.task = lm, task
        settings = request_settings(lm, chat_template)
        task.build_all_requests(limit=limit, rank=0, world_size=1, **settings)
        self.requests: dict[str, list[Instance]] = defaultdict(list)
        self.documents: dict[int, list[Instance]] = defaultdict(list)
        for instance in task.instances:
            self.requests[instance.request_type].append(instance)
            self.documents[instance.doc_id].append(instance)

    def ask(self) -> list[Document]:
        """Answer every request under the model's present steering.

        Returns:
            One mapping per document: `input`, `output` (the first answer if it is a text) and the
            task's metrics.
        """
        for kind, instances in self.requests.items():
            answers = getattr(self.lm, kind)(instances, disable_tqdm=True)
            for instance, answer in zip(instances, answers, strict=True):
                instance.resps, instance.filtered_resps = [answer], {}
        self.task.apply_filters()
        return [self._document(instances) for instances in self.documents.values()]

    def _document(self, instances: list[Instance]) -> Document:
        first = instances[0]
        name = next(iter(first.filtered_resps))
        answers = [instance.filtered_resps[name] for instance in instances]
        text = answers[0] if isinstance(answers[0], str) else None
        scores = self.task.process_results(first.doc, answers)
        return {"input": first.doc.get("input", ""), "output": text, **scores}
