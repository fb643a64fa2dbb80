"""Whose requests are answered under which vector, and the proof that each vector does something."""

from __future__ import annotations

import math
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.lm.arguments import BadArguments
from harness.lm.proof import SilentNoOp, describe, max_logit_change, vector_id
from steering import NotFinite, SteeringVector, attached_by_row
from steering.operations import GATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lm_eval.api.model import CacheHook
    from torch import Tensor

Owner = str | None
"""A task by name; None stands for every task."""


class Vectors:
    """One vector for all requests, or one for each task's.

    Args:
        by_owner: Vectors by owner; the requests of other owners are answered unsteered.

    Attributes:
        proofs: By owner. `calls`: forward passes in which an edit was applied; `max_logit_change`:
            measured once, on a real row.
        seconds: What the proofs took; no part of what steering costs.
    """

    def __init__(self, by_owner: Mapping[Owner, SteeringVector] | None = None) -> None:
        self._by_owner = dict(by_owner or {})
        self.proofs: dict[Owner, dict[str, float]] = {
            owner: {"calls": 0} for owner in self._by_owner
        }
        self.seconds = 0.0

    def __bool__(self) -> bool:
        """Whether anything is steered."""
        return bool(self._by_owner)

    def of(self, owner: Owner) -> SteeringVector | None:
        """The vector of an owner's requests."""
        return self._by_owner.get(owner)

    @property
    def apart(self) -> frozenset[Owner]:
        """Owners whose prompts must be read in one part (`SteeringVector.continues`)."""
        return frozenset(o for o, vector in self._by_owner.items() if not vector.continues)

    @property
    def by_task(self) -> bool:
        """Whether requests must be told apart by their tasks."""
        return bool(set(self._by_owner) - {None})

    @contextmanager
    def attached(
        self,
        model: Any,
        owners: Sequence[Owner],
        ends: Tensor | None = None,
        after: Tensor | None = None,
    ) -> Iterator[None]:
        """Steer the passes of a block, each row under its owner's vector, and count them.

        Args:
            model: A Hugging Face decoder.
            owners: One for each row (b).
            ends: Prompt tokens and real tokens of right-padded rows (2, b).
            after: Tokens after the end of left-padded prompts (b).
        """
        vectors = [self.of(owner) for owner in owners]
        first = vectors[0]
        if all(vector is None for vector in vectors):
            yield
            return
        alike = first is not None and all(vector is first for vector in vectors)
        attach = first.attached(model) if first and alike else attached_by_row(model, vectors)
        with attach as attachment, ExitStack() as stack:
            if ends is not None:
                stack.enter_context(attachment.lengths(ends[0], ends[1]))
            if after is not None:
                stack.enter_context(attachment.ends(after))
            yield
        for owner in set(owners) & set(self.proofs):
            self.proofs[owner]["calls"] += attachment.calls

    def unproven(self, owner: Owner, later: int) -> bool:
        """Whether an owner's vector still has to prove itself, and can.

        Args:
            owner: Whose vector.
            later: Tokens after the prompt that the model reads.
        """
        vector = self.of(owner)
        if vector is None or "max_logit_change" in self.proofs[owner]:
            return False
        # else the only answer token is predicted before the positions begin
        return later > 0 or any(edit.positions != "generated" for edit in vector.edits)

    def prove(self, owner: Owner, before: Tensor, after: Tensor, fired: bool) -> None:
        """Take down how far a vector moves the logits of a real row.

        Args:
            owner: Whose vector.
            before: Logits without it.
            after: Logits with it.
            fired: Whether its hooks did anything.

        Raises:
            NotFinite: the steered logits are no numbers.
            SilentNoOp: nothing moved.
        """
        vector = self._by_owner[owner]
        change = max_logit_change(before, after)
        if vector.coefficient != 0 and not math.isfinite(change):
            raise NotFinite(
                f"steering at coefficient {vector.coefficient} gives logits that are not finite; "
                "lower the coefficient or check the vector and the model's dtype"
            )
        if vector.coefficient != 0 and change == 0 and _gated(vector):
            return  # another row may be changed
        if vector.coefficient != 0 and change == 0:
            raise SilentNoOp(
                f"steering changed nothing: the hooks {'fired' if fired else 'did not fire'} and "
                f"no logit moved at coefficient {vector.coefficient}; check the vector's norm and "
                "its positions, or pass coefficient=0 for a baseline"
            )
        self.proofs[owner]["max_logit_change"] = change

    def require_proof(self, owners: Iterable[Owner]) -> None:
        """Refuse answers of vectors that never had a row on which they could prove themselves."""
        for owner in owners:
            vector = self.of(owner)
            if vector is None or vector.coefficient == 0:
                continue
            if "max_logit_change" not in self.proofs[owner] and _gated(vector):
                self.proofs[owner]["max_logit_change"] = 0.0
                warnings.warn(
                    f"{owner or 'every task'}: the vector left all rows as they are on which it "
                    "was tried (the longest of each batch): its condition or range was not met "
                    "there; the answers count as they are",
                    stacklevel=2,
                )
            if "max_logit_change" not in self.proofs[owner]:
                raise SilentNoOp(
                    "positions='generated' begin after the first answer token, and every answer "
                    "here has one token: nothing can change; use positions='continuation'"
                )

    def refuse_cache(self, hook: CacheHook) -> None:
        """Allow lm-eval's answer cache only where its path names the one vector."""
        if hook.dbdict is None or not self:
            return
        path = str(getattr(hook.dbdict, "filename", ""))
        if self.by_task:
            raise BadArguments(
                f"use_cache knows requests, not vectors, and here each task has its own; leave "
                f"use_cache={Path(path).name} out"
            )
        name = vector_id(self._by_owner[None])
        if name not in Path(path).name:
            raise BadArguments(
                f"use_cache knows requests, not vectors, and {Path(path).name!r} may hold answers "
                f"of another vector; put this vector's id into the path (use_cache=cache-{name}) "
                "or leave use_cache out"
            )

    def described(self) -> dict[str, Any] | None:
        """What steers, and the proof that it did, as JSON: of the one vector, or by task."""
        every: dict[Any, Any] = {
            owner: {**describe(vector), "proof": dict(self.proofs[owner])}
            for owner, vector in self._by_owner.items()
        }
        return every.get(None, every or None)


def _gated(vector: SteeringVector) -> bool:
    """Whether the vector may rightly leave a row as it is."""
    return any(edit.operation in GATED for edit in vector.edits)
