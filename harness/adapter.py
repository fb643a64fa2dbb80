"""SteeredLM: steering inside lm-eval, right in scoring and in generation.

lm-eval scores right-padded rows that hold prompt and continuation, and generates from left-padded
prompts, then one token per step. Scoring therefore tells the hooks where each row's prompt ends
and how long the row is; generation leaves both to the attention mask and the KV cache. Steered
scoring of a text agrees, token for token, with steered generation of it.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import Collator
from tqdm import tqdm  # type: ignore[import-untyped]

from harness.arguments import BadArguments, refuse_unknown
from harness.proof import SilentNoOp, describe, max_logit_change, vector_id
from harness.scoring import Answer, Request, Rows, by_length, input_tokens, split_alike
from steering import NotFinite, SteeringVector, UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lm_eval.api.instance import Instance
    from lm_eval.api.model import CacheHook
    from torch import Tensor

__all__ = ["SilentNoOp", "SteeredLM"]


class SteeredLM(HFLM):  # type: ignore[misc]  # lm-eval is untyped
    """lm-eval's `hf` model with a steering vector attached while it answers.

    Without a vector, or with coefficient 0, the answers are those of `hf` to the last bit. Chat
    templates, `device_map`, dtypes and `batch_size=auto` are HFLM's own.

    Attributes:
        proof: Of the current or last steered run: `calls`, the forward passes in which an edit was
            applied, and `max_logit_change`, measured once, on a real row of the first batch.
        silent: Show none of lm-eval's bars, for callers with a bar of their own.
    """

    alias: ClassVar[str] = "SteeredLM"  # what messages call it
    own_arguments: tuple[str, ...] = ("coefficient", "vector")
    silent: bool = False
    _vector: SteeringVector | None = None

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
            vector: Folder of a saved steering vector, or the vector itself.
            coefficient: Replaces the vector's own coefficient.
            **hflm: HFLM's arguments.

        Raises:
            ValueError: an unknown argument, a model that cannot be steered, a vector that does not
                fit the model; one line each.
        """
        self.proof: dict[str, float] = {}
        if pretrained is None:
            raise BadArguments(f"{self.alias} needs pretrained=MODEL (a hub id or a folder)")
        if coefficient is not None and vector is None:
            raise BadArguments(
                f"{self.alias} got coefficient={coefficient} without a vector to scale"
            )
        loads_model = isinstance(pretrained, str)
        refuse_unknown(self.alias, hflm, self.own_arguments, loads_model=loads_model)
        super().__init__(pretrained, **hflm)
        if isinstance(vector, str | Path):
            vector = SteeringVector.from_pretrained(Path(vector), model=self.model)
        if vector is not None:
            self._take(vector, coefficient)

    @property
    def vector(self) -> SteeringVector | None:
        """The vector that steers the next requests."""
        return self._vector

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
        outer, outer_proof = self._vector, self.proof
        try:
            if vector is None:
                self._vector = None
            else:
                self._take(vector, coefficient)
            yield self
        finally:
            self._vector = outer
            if outer is not None:
                self.proof = outer_proof

    def _take(self, vector: SteeringVector, coefficient: float | None) -> None:
        if coefficient is not None:
            vector = vector.with_coefficient(coefficient)
        _refuse_cache(self.cache_hook, vector)
        with vector.attached(self.model):  # refuses here, before any work, what does not fit
            pass
        self._vector = vector
        self.proof = {"calls": 0}

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Refuse lm-eval's answer cache where it would mix vectors: it knows requests only."""
        if self._vector is not None:
            _refuse_cache(cache_hook, self._vector)
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """HFLM's block with `steering` added: what steered, and the proof that it did."""
        info: dict[str, Any] = super().get_model_info()
        if self._vector is None:
            return {**info, "steering": None}
        return {**info, "steering": {**describe(self._vector), "proof": dict(self.proof)}}

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Answer]:
        """Log-probability and greediness of continuations, steered."""
        answers: list[Answer] = super().loglikelihood(
            requests, disable_tqdm=disable_tqdm or self.silent
        )
        self._require_proof(requests)
        return answers

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-probability of whole texts, steered.

        The prompt of a window is its first token (the prefix token, or the text's last token
        before the window); everything after it counts as continuation.
        """
        answers: list[float] = super().loglikelihood_rolling(
            requests, disable_tqdm=disable_tqdm or self.silent
        )
        self._require_proof(requests)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generated continuations, steered."""
        answers: list[str] = super().generate_until(
            requests, disable_tqdm=disable_tqdm or self.silent
        )
        self._require_proof(requests)
        return answers

    def _loglikelihood_tokens(
        self,
        requests: Sequence[Request],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[Answer]:
        """HFLM's scoring: same order, same batches, same padding, and the lengths kept."""
        shared = self.logits_cache and split_alike(requests)
        collator = Collator(
            requests,
            sort_fn=by_length,
            group_by="contexts" if shared else None,
            group_fn=input_tokens,
        )
        automatic = self.batch_size == "auto"
        size = (override_bs or 0) if automatic else self.batch_size
        schedule = automatic and len(requests) > 0 and not override_bs
        if schedule:
            self.batch_sizes: dict[int, int] = {}  # sizes found for other requests do not hold
        chunks = collator.get_batched(n=size, batch_fn=self._batch_scheduler if schedule else None)
        answers: list[Answer] = []
        silent = disable_tqdm or self.rank != 0
        with tqdm(total=len(requests), disable=silent, desc="Scoring") as progress:
            for chunk in chunks:
                rows = Rows.build(chunk, self.max_length, self.device)
                probe = rows.longest()
                total, prompt = rows.totals[probe], rows.prompts[probe]
                self._prove(rows.inputs[probe : probe + 1, :total], prompt)
                logits = self._steered_call(rows.inputs, rows.prompts, rows.totals)
                for text, answer in rows.answers(logits, collator, self.softmax_dtype):
                    answers.append(answer)
                    if text is not None:
                        self.cache_hook.add_partial("loglikelihood", text, answer)
                    progress.update(1)
        original: list[Answer] = collator.get_original(answers)
        return original

    def _steered_call(self, inputs: Tensor, prompts: list[int], totals: list[int]) -> Tensor:
        """Logits (b, s, vocabulary) of right-padded rows (b, s), steered if there is a vector."""
        if self._vector is None:
            logits: Tensor = self._model_call(inputs)
            return logits
        ends = torch.tensor([prompts, totals], device=inputs.device)
        with self._vector.attached(self.model) as attachment, attachment.lengths(ends[0], ends[1]):
            logits = self._model_call(inputs)
        self.proof["calls"] += attachment.calls
        return logits

    def _model_generate(self, context: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._vector is None:
            unsteered: Tensor = super()._model_generate(context, *args, **kwargs)
            return unsteered
        with self._vector.attached(self.model) as attachment:
            output: Tensor = super()._model_generate(context, *args, **kwargs)
        self.proof["calls"] += attachment.calls
        if "max_logit_change" not in self.proof:
            width = context.shape[1]
            written = (output[:, width:] != self.tokenizer.pad_token_id).sum(dim=1)
            row = int(written.argmax())
            mask = kwargs.get("attention_mask")
            padding = 0 if mask is None else width - int(mask[row].sum())
            # the last written token is predicted, never read
            end = max(width, width + int(written[row]) - 1)
            self._prove(output[row : row + 1, padding:end], width - padding)
        return output

    def _prove(self, row: Tensor, prompt: int) -> None:
        """Measure once per run, on one real row (1, s), that steering moves its logits."""
        vector = self._vector
        if vector is None or "max_logit_change" in self.proof:
            return
        only_later = all(edit.positions == "generated" for edit in vector.edits)
        if only_later and row.shape[1] <= prompt:
            return  # the only answer token is predicted before these positions begin
        before = self._model_call(row)
        calls = self.proof["calls"]
        after = self._steered_call(row, [prompt], [row.shape[1]])
        change = max_logit_change(before, after)
        if vector.coefficient != 0 and not math.isfinite(change):
            raise NotFinite(
                f"steering at coefficient {vector.coefficient} gives logits that are not finite; "
                "lower the coefficient or check the vector and the model's dtype"
            )
        if vector.coefficient != 0 and change == 0:
            fired = "did not fire" if self.proof["calls"] == calls else "fired"
            raise SilentNoOp(
                f"steering changed nothing: the hooks {fired} and no logit moved at coefficient "
                f"{vector.coefficient}; check the vector's norm and its positions, or pass "
                "coefficient=0 for a baseline"
            )
        self.proof["max_logit_change"] = change

    def _require_proof(self, requests: Sequence[Instance]) -> None:
        vector = self._vector
        if vector is None or not requests or vector.coefficient == 0:
            return
        if "max_logit_change" not in self.proof:
            raise SilentNoOp(
                "positions='generated' begin after the first answer token, and every answer here "
                "has one token: nothing can change; use positions='continuation'"
            )


def _refuse_cache(hook: CacheHook, vector: SteeringVector) -> None:
    """Allow an answer cache only where its path names the vector."""
    if hook.dbdict is None:
        return
    name = vector_id(vector)
    path = str(getattr(hook.dbdict, "filename", ""))
    if name not in Path(path).name:
        raise BadArguments(
            f"use_cache knows requests, not vectors, and {Path(path).name!r} may hold answers of "
            f"another vector; put this vector's id into the path (use_cache=cache-{name}) or leave "
            "use_cache out"
        )
