"""One task's requests, built once and answered under as many vectors as needed.

lm-eval's own `evaluate` builds and renders every request anew; a search over settings asks the
same documents again and again. The task's `process_results` makes the numbers in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance

from harness.errors import UsageError
from harness.lm.wording import PLAIN, Wording
from harness.measuring import scores
from harness.measuring.first_token import first_token
from harness.measuring.library import words_of

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.lm.adapter import SteeredLM
    from steering.tokens import Pair

Document = dict[str, Any]


class Measurement:
    """A prompted task on one model, ready to be answered.

    Args:
        lm: The model.
        task: A prompted task; its test documents are asked.
        limit: Ask only the first documents.
        wording: How its prompts are put to the model.
        ranked: Say how the first token of each given answer ranks.
    """

    def __init__(
        self,
        lm: SteeredLM,
        task: ConfigurableTask,
        *,
        limit: int | None = None,
        wording: Wording = PLAIN,
        ranked: bool = False,
    ) -> None:
        self.lm, self.task, self.ranked = lm, task, ranked
        self.delimiter = "" if wording.chat_template else task.config.target_delimiter
        with words_of(task):
            task.build_all_requests(limit=limit, rank=0, world_size=1, **wording.requests(lm))
        self.requests: dict[str, list[Instance]] = defaultdict(list)
        self.documents: dict[int, list[Instance]] = defaultdict(list)
        for instance in task.instances:
            self.requests[instance.request_type].append(instance)
            self.documents[instance.doc_id].append(instance)

    @property
    def one_answer(self) -> bool:
        """Whether each document has one right answer, given or to be generated."""
        alone = all(len(each) == 1 for each in self.documents.values())
        return alone and set(self.requests) <= {"loglikelihood", "generate_until"}

    @property
    def scored(self) -> bool:
        """Whether each document is one given answer that fits the model's length."""
        if not self.one_answer or set(self.requests) != {"loglikelihood"}:
            return False
        longest = int(self.lm.max_length)
        return all(not pair.empty and len(pair.tokens) <= longest for pair in self.pairs())

    @property
    def unfit(self) -> dict[str, int]:
        """How many requests there are, and of each kind of misfit; empty where all fit the model.

        The kinds are those of `harness.lm.encoding`, and the same whatever steers.
        """
        encoding = self.lm.encoding
        encoding.forget()
        encoding.scorable(self.requests.get("loglikelihood", ()))
        encoding.require_room(self.requests.get("generate_until", ()))
        return encoding.unfit(str(self.task.config.task))

    def pairs(self) -> list[Pair]:
        """Every document's prompt and right answer, as the model reads them."""
        found = []
        for instances in self.documents.values():
            request = instances[0]
            if request.request_type == "loglikelihood":
                context, answer = request.args
            else:
                with words_of(self.task):
                    context, answer = request.args[0], self.task.doc_to_target(request.doc)
                answer = f"{self.delimiter}{answer}"
            found.append(self.lm.encoding.pair(context, answer))
        return found

    def token_ids(self) -> tuple[list[list[int]], list[list[int]]]:
        """The tokens of every document's prompt and right answer.

        Raises:
            UsageError: an answer without a token of its own, or one that the model has no room for.
        """
        pairs, longest = self.pairs(), int(self.lm.max_length)
        for number, pair in enumerate(pairs):
            if pair.empty or len(pair.tokens) > longest:
                what = "has no token" if pair.empty else f"and its prompt exceed {longest} tokens"
                raise UsageError(
                    f"{self.task.config.task}: the answer of document {number} {what}, so that a "
                    "grid cannot score it; leave the document out or choose another task"
                )
        return [pair.prompt for pair in pairs], [pair.answer for pair in pairs]

    def ask(self) -> list[Document]:
        """Answer every request under the model's present steering.

        Returns:
            One mapping per document: `input`, `output` (the first answer if it is a text) and the
            task's metrics, one per filter.
        """
        for kind, instances in self.requests.items():
            asked = [instance for instance in instances for _ in range(instance.repeats or 1)]
            self._answer(asked, getattr(self.lm, kind)(asked, disable_tqdm=True))
        return self._documents()

    def score(self, answers: Sequence[tuple[float, bool]]) -> list[Document]:
        """The documents of `ask`, given what a `scored` measurement would be answered.

        Args:
            answers: Per document the answer's log-probability and whether it is greedy; as
                `Scored` where the measurement is `ranked`.
        """
        self._answer([instances[0] for instances in self.documents.values()], answers)
        return self._documents()

    def _answer(self, asked: Sequence[Instance], answers: Sequence[Any]) -> None:
        for instance in asked:
            instance.resps, instance.filtered_resps = [], {}
        for instance, answer in zip(asked, answers, strict=True):
            instance.resps.append(answer)

    def _documents(self) -> list[Document]:
        with words_of(self.task):
            self.task.apply_filters()
            rows = [
                (place, name, self.task.process_results(asked[0].doc, _filtered(asked, name)))
                for place, asked in self.documents.items()
                for name in asked[0].filtered_resps
            ]
            values = scores.numbers(self.task, list(scores.merged(self.task, rows).values()))
        every = zip(self.documents.values(), values, strict=True)
        return [
            {
                **_document(asked[0], metrics),
                **(first_token(asked[0].resps[0]) if self.ranked else {}),
            }
            for asked, metrics in every
        ]


def _filtered(asked: Sequence[Instance], name: str) -> list[Any]:
    """A document's answers as a filter leaves them, in lm-eval's order."""
    return [each.filtered_resps[name] for each in sorted(asked, key=lambda each: each.idx)]


def _document(first: Instance, metrics: dict[str, float | None]) -> Document:
    answer = first.resps[0]
    text = answer if isinstance(answer, str) else None
    return {"input": first.doc.get("input", ""), "output": text, **metrics}
