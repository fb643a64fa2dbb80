"""Vectors on a model: one for all rows of a batch, or one for each row."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from steering.edit import Edit
from steering.errors import BadVector
from steering.hooks import Change, changing, watching
from steering.layout import Layout
from steering.operations import OPERATIONS, Coefficient, stacked
from steering.positions import Pass
from steering.sites import resolve


@dataclass(frozen=True, eq=False)
class Slot:
    """One edit of all rows, or edits of r rows that differ in tensor and strength only.

    Attributes:
        edit: Where and how; its tensor and those among its parameters are as in `Edit`, or have
            (r, 1) before their axes.
        coefficient: A number, or (r, 1, 1).
        rows: Which rows of the batch (r); None is all of them.
    """

    edit: Edit
    coefficient: Coefficient
    rows: Tensor | None = None

    def to(self, device: torch.device) -> Slot:
        """The same slot with its tensors on a device."""
        c = self.coefficient
        return Slot(
            self.edit.to(device),
            c.to(device) if isinstance(c, Tensor) else c,
            self.rows if self.rows is None else self.rows.to(device),
        )


Asker = tuple[int, Any]
"""A thread, and the task of an event loop that runs in it."""


def _asking() -> Asker:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        task = None
    return threading.get_ident(), task


class _Now(threading.local):
    """The pass that a thread is in; one that began before the vector was there is not steered."""

    passing = Pass(1, 1)
    counted = False
    steered = False
    met: Tensor | None = None


@dataclass(eq=False)
class Attachment:
    """A vector, or one for each row, on a model.

    Attributes:
        calls: Forward passes in which at least one edit was applied.
    """

    calls: int = 0
    _batch: int | None = None
    _rows: tuple[Tensor, Tensor] | None = None
    _after: Tensor | None = None
    _now: _Now = field(default_factory=_Now)
    _asker: Asker = field(default_factory=_asking)
    _beside: set[Attachment] = field(default_factory=set)

    @contextmanager
    def lengths(self, prompt: Tensor, total: Tensor) -> Iterator[None]:
        """State where the prompt ends and how long each row of right-padded passes is.

        Args:
            prompt: Prompt tokens of each row (b).
            total: Real tokens of each row (b), those in the KV cache included.
        """
        outer, self._rows = self._rows, (prompt, total)
        try:
            yield
        finally:
            self._rows = outer

    @contextmanager
    def ends(self, after: Tensor) -> Iterator[None]:
        """State how many tokens of each left-padded prompt stand after its end.

        Args:
            after: White space that a word would swallow (b); see `steering.tokens`.
        """
        outer, self._after = self._after, after
        try:
            yield
        finally:
            self._after = outer

    def _begin(self, now: Pass) -> None:
        self._now.steered = self._steers(_asking())
        if not self._now.steered:
            return
        if self._batch not in (None, now.batch):
            raise BadVector(
                f"a batch of {now.batch} rows under {self._batch} vectors; give one for each row"
            )
        if self._rows is not None:
            now.prompt_lengths, now.lengths = self._rows
        if self._after is not None:  # a prompt may be generated from in several beams
            now.after = self._after.repeat_interleave(now.batch // len(self._after))
        self._now.passing, self._now.counted = now, False
        if now.past == 0:
            self._now.met = None

    def _steers(self, asker: Asker) -> bool:
        """Whether somebody's passes are steered: his own ones, or anybody's where one steers."""
        askers = {attachment._asker for attachment in list(self._beside)}
        if asker in askers:
            return asker == self._asker
        if len(askers) > 1:
            raise BadVector(
                f"{len(askers)} threads steer this model and another one asks it; attach the "
                "vector in the thread (or the asyncio task) that asks"
            )
        return True

    def _watch(self, slot: Slot) -> Change:
        """Find the rows that meet a condition, in the pass that holds their prompts."""

        def change(x: Tensor) -> None:
            state, own = self._now, slot.to(x.device)
            if not state.steered or state.passing.past > 0:
                return
            where = state.passing.choose(own.edit.positions)
            chosen = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
            if isinstance(where, slice):
                chosen[:, where] = True
            else:
                chosen |= where
            weight = chosen / chosen.sum(dim=1, keepdim=True).clamp_min(1)
            mean = torch.einsum("bs,bsd->bd", weight, x.float())[:, None]
            rows = slice(None) if own.rows is None else own.rows
            met = OPERATIONS["condition"](mean[rows], own.edit.tensor, **own.edit.parameters)
            if state.met is None:
                state.met = torch.ones(len(x), 1, 1, dtype=torch.bool, device=x.device)
            state.met[rows] &= met[..., None]

        return change

    def _change(self, slot: Slot, layout: Layout) -> Change:
        if slot.edit.operation == "condition":
            return self._watch(slot)
        columns = _columns(slot.edit, layout)

        def change(x: Tensor) -> Tensor | None:
            nonlocal slot
            state = self._now
            if not state.steered:
                return None
            if x.ndim == 2:  # OPT's MLP works on batch and tokens as one axis
                new = change(x.view(state.passing.batch, state.passing.width, -1))
                return None if new is None else new.view_as(x)
            where = state.passing.choose(slot.edit.positions)
            if isinstance(where, slice) and where.start >= where.stop:
                return None
            if not state.counted:
                self.calls, state.counted = self.calls + 1, True
            if slot.edit.tensor.device != x.device:
                slot = slot.to(x.device)
            if slot.rows is None:
                return self._gated(_edited(x, slot, where, columns), x)
            own = where if isinstance(where, slice) or len(where) == 1 else where[slot.rows]
            new = x.clone()
            new[slot.rows] = _edited(x[slot.rows], slot, own, columns)
            return self._gated(new, x)

        return change

    def _gated(self, new: Tensor, x: Tensor) -> Tensor:
        """Leave the rows alone that did not meet their vector's condition."""
        met = self._now.met
        return new if met is None else torch.where(met.to(x.device), new, x)


def _edited(x: Tensor, slot: Slot, where: slice | Tensor, columns: slice | None) -> Tensor:
    """New activations (r, s, d): the operation applied at some tokens and columns."""
    v, c = slot.edit.tensor, slot.coefficient
    operation = partial(OPERATIONS[slot.edit.operation], **slot.edit.parameters)
    if columns is None and isinstance(where, slice) and where == slice(0, x.shape[1]):
        return operation(x, v, c)
    new = x.clone()
    part = new if columns is None else new[..., columns]
    if isinstance(where, slice):
        part[:, where] = operation(part[:, where], v, c)
    else:
        part.copy_(torch.where(where.unsqueeze(-1), operation(part, v, c), part))
    return new


_attached: WeakKeyDictionary[nn.Module, set[Attachment]] = WeakKeyDictionary()
"""What steers each model at present, in all threads."""


@contextmanager
def on(model: nn.Module, slots: Sequence[Slot], batch: int | None = None) -> Iterator[Attachment]:
    """Apply slots in every forward pass of a block.

    Blocks may overlap in any order: all vectors of a thread steer its passes. Where several threads
    (or tasks of an event loop) steer one model, each one's passes are steered by its own vectors.

    Args:
        model: A Hugging Face decoder.
        slots: In the order in which they are applied.
        batch: Rows that a pass must have; None allows any number.
    """
    layout = resolve(model)
    attachment = Attachment(_batch=batch, _beside=_attached.setdefault(model, set()))
    changes: dict[tuple[str, int], list[Change]] = {}
    for slot in slots:
        place = (slot.edit.site, slot.edit.layer)
        changes.setdefault(place, []).append(attachment._change(slot, layout))
    with ExitStack() as stack:
        if changes:
            stack.enter_context(watching(model, attachment._begin))
            chained = {place: _chain(parts) for place, parts in changes.items()}
            stack.enter_context(changing(model, chained, anywhere=True))
            attachment._beside.add(attachment)
            stack.callback(attachment._beside.discard, attachment)
        yield attachment


def rowwise(rows: Sequence[tuple[Sequence[Edit], float]]) -> list[Slot]:
    """Slots for a batch in which each row has edits and a strength of its own.

    Edits at one place keep their order within a row: the first of each row, the second, ...

    Args:
        rows: Edits and coefficient of each row (b); no edits, or coefficient 0, leave it as it is.
    """
    members: dict[tuple[Any, ...], list[tuple[int, Edit, float]]] = {}
    for row, (edits, coefficient) in enumerate(rows):
        seen: dict[tuple[str, int], int] = {}
        for edit in edits if coefficient != 0 else ():
            place = (edit.site, edit.layer)
            nth = seen[place] = seen.get(place, -1) + 1
            kind = (nth, *place, edit.operation, edit.positions, edit.head, _shapes(edit))
            members.setdefault(kind, []).append((row, edit, coefficient))
    order = sorted(members, key=lambda kind: kind[0])
    return [_slot(members[kind], len(rows)) for kind in order]


def _slot(members: Sequence[tuple[int, Edit, float]], batch: int) -> Slot:
    rows, edits, strengths = zip(*members, strict=True)
    tensor = torch.stack([edit.tensor for edit in edits]).unsqueeze(1)
    own = stacked([edit.parameters for edit in edits])
    parameters = {name: value.unsqueeze(1) for name, value in own.items()}
    place = None if len(rows) == batch else torch.tensor(rows)
    strength = torch.tensor(strengths)[:, None, None]
    edit = replace(edits[0], tensor=tensor, parameters=parameters)
    return Slot(edit, strength, place).to(tensor.device)


def _shapes(edit: Edit) -> tuple[torch.Size, ...]:
    return tuple(tensor.shape for tensor in edit.tensors)


def _chain(parts: list[Change]) -> Change:
    if len(parts) == 1:
        return parts[0]

    def change(x: Tensor) -> Tensor:
        for part in parts:
            new = part(x)
            x = x if new is None else new
        return x

    return change


def _columns(edit: Edit, layout: Layout) -> slice | None:
    """The columns of an edited head; None where the whole width is edited."""
    if edit.head is None:
        return None
    width = layout.head_dims[edit.layer]
    return slice(edit.head * width, (edit.head + 1) * width)
