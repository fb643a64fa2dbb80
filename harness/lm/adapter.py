"""SteeredLM: steering inside lm-eval, right in scoring and in generation.

lm-eval scores right-padded rows that hold prompt and continuation, and generates from left-padded
prompts, then one token per step. Scoring therefore tells the hooks where each row's prompt ends
and how long the row is; generation leaves both to the attention mask and the KV cache. Steered
scoring of a text agrees, token for token, with steered generation of it.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lm_eval.models.utils import Collator
from tqdm import tqdm  # type: ignore[import-untyped]

from harness.lm.arguments import BadArguments, refuse_unknown
from harness.lm.encoding import IMPOSSIBLE, Encoding
from harness.lm.plain import PlainLM
from harness.lm.prefixes import Prefixes, continued, prefill
from harness.lm.proof import SilentNoOp
from harness.lm.scoring import Answer, Batch, Request, Row, owned, owner_of, rows
from harness.lm.vectors import Vectors
from steering import SteeringVector, UnsupportedModel, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lm_eval.api.instance import Instance
    from lm_eval.api.model import CacheHook
    from torch import Tensor

    from harness.lm.vectors import Owner

__all__ = ["SilentNoOp", "SteeredLM"]


class SteeredLM(PlainLM):
    """lm-eval's `hf` model with a steering vector attached while it answers.

    Without a vector, or with coefficient 0, the answers are those of `hf` to the last bit; sampled
    ones and those of several beams are `PlainLM`'s. Chat templates, `device_map`, dtypes and
    `batch_size=auto` are HFLM's own.

    Attributes:
        silent: Show none of lm-eval's bars, for callers with a bar of their own.
    """

    alias: ClassVar[str] = "SteeredLM"  # what messages call it
    own_arguments: tuple[str, ...] = ("coefficient", "vector")
    silent: bool = False

    def __init__(
        self,
        pretrained: Any = None,
        *,
        vector: str | Path | SteeringVector | None = None,
        coefficient: float | None = None,
        **hflm: Any,
    ) -> None:
        """Load the model and, if one is given, the vector.

        Args:
            pretrained: Hub id, folder, or a loaded model, as in HFLM.
            vector: Path of a steering vector of any format, or the vector itself.
            coefficient: Replaces the vector's own coefficient.
            **hflm: HFLM's arguments.

        Raises:
            ValueError: an unknown argument, a model that cannot be steered, a vector that does not
                fit the model; one line each.
        """
        self._vectors = self._proved = Vectors()
        if pretrained is None:
            raise BadArguments(f"{self.alias} needs pretrained=MODEL (a hub id or a folder)")
        if coefficient is not None and vector is None:
            raise BadArguments(
                f"{self.alias} got coefficient={coefficient} without a vector to scale"
            )
        loads_model = isinstance(pretrained, str)
        refuse_unknown(self.alias, hflm, self.own_arguments, loads_model=loads_model)
        super().__init__(pretrained, **hflm)
        self.encoding, self._prefixes = Encoding(self), Prefixes(self)
        if isinstance(vector, str | Path):
            vector = SteeringVector.load(vector, self.model)
        if vector is not None:
            self._take(vector, coefficient)

    @property
    def vector(self) -> SteeringVector | None:
        """The one vector that steers the next requests of every task."""
        return self._vectors.of(None)

    @property
    def proofs(self) -> Mapping[Owner, Mapping[str, float]]:
        """What each vector of the current or last steered run did, by task (`Vectors.proofs`)."""
        return self._proved.proofs

    @property
    def proof(self) -> Mapping[str, float]:
        """What the one vector for all tasks did."""
        return self.proofs.get(None, {})

    @property
    def proving_seconds(self) -> float:
        """What proving the present vectors has taken."""
        return self._vectors.seconds

    def _get_backend(self, *args: Any, **kwargs: Any) -> None:
        super()._get_backend(*args, **kwargs)
        if self.backend != "causal":
            raise UnsupportedModel(
                f"steering needs a decoder (a causal language model), got the backend "
                f"{self.backend!r}; choose another model or pass backend=causal"
            )

    @contextmanager
    def steer(
        self, vector: SteeringVector | None, coefficient: float | None = None
    ) -> Iterator[SteeredLM]:
        """Answer the requests of a block under another vector (None: unsteered).

        The hooks are on the model only while it answers, so the model itself stays as it is.

        Raises:
            ValueError: the vector does not fit the model, or answers are being cached by request.
        """
        with self._steered({} if vector is None else {None: vector}, coefficient):
            yield self

    def steer_for(
        self, tasks: Sequence[str], vectors: Mapping[str, SteeringVector]
    ) -> AbstractContextManager[SteeredLM]:
        """Answer some tasks' requests, each under its own vector; one for all needs no telling.

        Args:
            tasks: Whose requests will be asked.
            vectors: By task; the others are answered unsteered.
        """
        every = {id(vectors.get(name)) for name in tasks}
        return self.steer_each(vectors) if len(every) > 1 else self.steer(vectors.get(tasks[0]))

    @contextmanager
    def steer_each(self, vectors: Mapping[str, SteeringVector]) -> Iterator[SteeredLM]:
        """Answer each task's requests by the task's own vector, in batches that tasks share.

        Args:
            vectors: By task; the other tasks' requests are answered unsteered.

        Raises:
            ValueError: a vector does not fit the model, or answers are being cached by request.
        """
        with self._steered(vectors):
            yield self

    @contextmanager
    def _steered(
        self, vectors: Mapping[Any, SteeringVector], coefficient: float | None = None
    ) -> Iterator[None]:
        outer, self._vectors = self._vectors, self._taken(vectors, coefficient)
        if vectors:
            self._proved = self._vectors
        try:
            yield
        finally:
            self._vectors = outer
            if outer:
                self._proved = outer

    def _take(self, vector: SteeringVector, coefficient: float | None) -> None:
        """Answer everything from now on under a vector."""
        self._vectors = self._proved = self._taken({None: vector}, coefficient)

    def _taken(self, vectors: Mapping[Any, SteeringVector], coefficient: float | None) -> Vectors:
        found = {}
        for owner, vector in vectors.items():
            own = vector if coefficient is None else vector.with_coefficient(coefficient)
            own.require_fit(resolve(self.model))  # before any work
            found[owner] = own.to(self.device)
        taken = Vectors(found)
        taken.refuse_cache(self.cache_hook)
        return taken

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Refuse lm-eval's answer cache where it would mix vectors: it knows requests only."""
        self._vectors.refuse_cache(cache_hook)
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """HFLM's block with what steered, the proof that it did, and what did not fit."""
        unfit = {task: self.encoding.unfit(task) for task in self.encoding.remarks}
        return {
            **super().get_model_info(),
            "steering": self._vectors.described(),
            "unfit": {task: found for task, found in unfit.items() if found},
        }

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Answer]:
        """Log-probability and greediness of continuations, steered."""
        asked = owned(requests) if self._vectors.by_task else requests
        answers: list[Answer] = [IMPOSSIBLE] * len(asked)
        scored = self.encoding.scorable(asked)
        found = self._loglikelihood_tokens(
            [(args, *self._encode_pair(*args)) for _, args in scored],
            disable_tqdm=disable_tqdm or self.silent,
        )
        for (place, _), answer in zip(scored, found, strict=True):
            answers[place] = answer
        self._vectors.require_proof(self._owners_of(requests) if scored else set())
        return answers

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-probability of whole texts, steered.

        The prompt of a window is its first token (the prefix token, or the text's last token
        before the window); everything after it counts as continuation.
        """
        if self._vectors.by_task:
            raise BadArguments("whole texts are scored under one vector for all tasks: use steer")
        answers: list[float] = super().loglikelihood_rolling(
            requests, disable_tqdm=disable_tqdm or self.silent
        )
        self._vectors.require_proof(self._owners_of(requests))
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generated continuations, steered."""
        self.encoding.require_room(requests)
        answers = super().generate_until(requests, disable_tqdm=disable_tqdm or self.silent)
        self._vectors.require_proof(self._owners_of(requests))
        return answers

    def _owners_of(self, requests: Sequence[Instance]) -> set[Owner]:
        """Whose vectors the requests are answered under."""
        return {request.task_name if self._vectors.by_task else None for request in requests}

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """HFLM's tokens of a prompt and its answer, made once: arms ask the same ones."""
        pair = self.encoding.pair(context, continuation)
        return list(pair.tokens[: pair.scored]), list(pair.tokens[pair.scored :])

    def _loglikelihood_tokens(
        self,
        requests: Sequence[Request],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[Answer]:
        """HFLM's scoring: same order, same batches, same padding, and the lengths kept.

        Where prompts begin alike (`prefixes`) the common part is computed once, and the numbers
        are HFLM's up to rounding.
        """
        answers: list[Answer] = [(math.nan, False)] * len(requests)
        silent = disable_tqdm or self.silent or self.rank != 0
        with tqdm(total=len(requests), disable=silent, desc="Scoring") as progress:
            starts = map(self.encoding.starts, requests)
            every = rows(requests, merge=self.logits_cache, starts=[*starts])
            for batch, logits in self._scored(every, override_bs):
                for place, text, answer in batch.answers(logits, self.softmax_dtype):
                    answers[place] = answer
                    if text is not None:
                        self.cache_hook.add_partial("loglikelihood", text, answer)
                    progress.update(1)
        return answers

    def _scored(
        self, every: Sequence[Row], override_bs: int | None
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Every row in a batch with its logits (b, s, vocabulary)."""
        automatic = self.batch_size == "auto"
        size = (override_bs or 0) if automatic else self.batch_size
        for shared, group in self._prefixes.groups(every, self._vectors.apart):
            schedule = self._schedule(group) if automatic and not override_bs else None
            cache = self._prefill(group[0], shared) if shared else None
            for chunk in Collator.get_chunks(group, n=size, fn=schedule):
                batch = self._batch(chunk, shared)
                for row in batch.longest():
                    self._prove(row)
                yield batch, self._steered_call(batch, cache)

    def _schedule(self, group: Sequence[Row]) -> Callable[[int, Any], int]:
        """HFLM's search for batch sizes, on the rows of a group."""
        self.batch_sizes: dict[int, int] = {}  # sizes found for other requests do not hold
        requests = [row.request for row in group]
        return lambda i, _: self._batch_scheduler(i, requests)

    def _batch(self, chunk: Sequence[Row], start: int = 0) -> Batch:
        return Batch.of(chunk, self.max_length, self.device, start)

    def _prefill(self, row: Row, shared: int) -> Any:
        """The KV cache of a row's first tokens, under its vector."""
        ends = torch.tensor([[shared + 1], [shared]], device=self.device)
        with self._vectors.attached(self.model, [row.owner], ends):
            return prefill(self.model, row.tokens(self.max_length)[:shared])

    def _steered_call(self, batch: Batch, cache: Any = None) -> Tensor:
        """Logits (b, s, vocabulary) of a batch, each row under its owner's vector."""
        ends = torch.tensor([batch.prompts, batch.totals], device=self.device)
        with self._vectors.attached(self.model, [row.owner for row in batch.rows], ends):
            if cache is not None:
                return continued(self.model, cache, batch.inputs)
            logits: Tensor = self._model_call(batch.inputs)
            return logits

    def _prove(self, row: Row) -> None:
        """Measure once for each vector, on one real row, that it moves the row's logits."""
        owner, total = row.owner, len(row.tokens(self.max_length))
        if not self._vectors.unproven(owner, later=total - row.prompt(total)):
            return
        started, calls = time.perf_counter(), self.proofs[owner]["calls"]
        batch = self._batch([row])
        before, after = self._model_call(batch.inputs), self._steered_call(batch)
        self._vectors.prove(owner, before, after, fired=self.proofs[owner]["calls"] > calls)
        self._vectors.seconds += time.perf_counter() - started

    def _model_generate(self, context: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        by_task = self._vectors.by_task
        owners = [owner_of(text) if by_task else None for text in self._asked]
        after = [self.encoding.after(text) for text in self._asked]
        copies = self.copies(kwargs)
        ends = torch.tensor(after, device=self.device).repeat_interleave(copies)
        rows = [each for each in owners for _ in range(copies)]
        with self._vectors.attached(self.model, rows, after=ends if any(after) else None):
            output = super()._model_generate(context, *args, **kwargs)
        unproven = {owner for owner in owners if self._vectors.unproven(owner, later=1)}
        if not unproven:
            return output
        answers, mask = output[:, context.shape[1] :], kwargs.get("attention_mask")
        written = (answers != self.tokenizer.pad_token_id).sum(dim=1).tolist()
        for owner in unproven:
            own = [i for i, each in enumerate(owners) if each == owner]
            row = max(own, key=written.__getitem__)
            prompt = context[row] if mask is None else context[row][mask[row].bool()]
            # the last written token is predicted, never read
            read = answers[row, : max(0, written[row] - 1)].tolist()
            tokens, split = [*prompt.tolist(), *read, 0], len(prompt) - after[row]
            self._prove(Row(owner, [(0, (("", ""), tokens[:split], tokens[split:]))]))
        return output
