"""Watch a model compute three tokens: what its modules take and give, and where heads attend.

A decoder is understood from what it does, not from how its modules are called. Attention is where
weights over tokens are made: a softmax over them, or PyTorch's own attention function. Nothing is
changed here; the hooks that change a model are those of `hooks`.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from steering.errors import UnsupportedModel

TOKENS = 3
"""Tokens of every pass that resolves or proves a model."""

ATTENDING = ("scaled_dot_product_attention", "softmax")


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        module: What was called.
        began: Order in which calls begin and heads attend.
        ended: Order in which they end.
        given: Copy of its first tensor argument, on the CPU in double precision.
        dtype: Of that argument.
        device: Of that argument.
        result: Copy of the first tensor of its result.
    """

    module: nn.Module
    began: int
    given: Tensor | None
    dtype: torch.dtype
    device: torch.device
    ended: int = -1
    result: Tensor | None = None


@dataclass(eq=False)
class Attending:
    """One place where heads weigh tokens.

    Attributes:
        within: The modules that were running, the outermost first.
        at: When, in the order of calls.
        rows: Product of batch and heads.
        width: Width of a head's values, where it is known.
    """

    within: tuple[nn.Module, ...]
    at: int
    rows: int
    width: int | None


@dataclass(eq=False)
class Trace:
    """What one pass did.

    Attributes:
        calls: In the order in which they began.
        attending: In order.
    """

    calls: list[Call] = field(default_factory=list)
    attending: list[Attending] = field(default_factory=list)

    def of(self, module: nn.Module) -> list[Call]:
        """The calls of one module."""
        return [call for call in self.calls if call.module is module]


def input_device(model: Any) -> torch.device:
    """Where a model's inputs belong; of offloaded weights, where they are brought to."""
    if model.device.type != "meta":
        return torch.device(model.device)
    hook = getattr(model.get_input_embeddings(), "_hf_hook", None)
    return torch.device(getattr(hook, "execution_device", None) or "cpu")


def before_call(module: nn.Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Call a hook (module, inputs, keywords) before a module.

    A pass of another thread that was under way when the hook was removed calls it once more, and
    without keywords, as PyTorch then takes it for one that wants none: it is over and does nothing.
    """

    def own(module: nn.Module, inputs: tuple[Any, ...], *keywords: dict[str, Any]) -> Any:
        return hook(module, inputs, *keywords) if keywords else None

    return module.register_forward_pre_hook(own, with_kwargs=True)


def last_logits(model: Any, tokens: int = 1) -> dict[str, int]:
    """Arguments under which a model computes the logits of its last tokens alone, where it can."""
    known = inspect.signature(model.forward).parameters
    return {"logits_to_keep": tokens} if "logits_to_keep" in known else {}


def token_ids(model: Any, rows: int = 1) -> Tensor:
    """Three ordinary tokens (b, 3): special ones, at the ends of vocabularies, may be all zero."""
    size = model.get_input_embeddings().num_embeddings
    ids = torch.tensor([[size // 2, size // 3, 2 * size // 3]], device=input_device(model))
    return ids.repeat(rows, 1)


_tracing = threading.Lock()


@torch.no_grad()
def trace(model: Any) -> Trace:
    """Watch one pass over three tokens.

    Raises:
        UnsupportedModel: The model cannot read three tokens.
    """
    name = type(model).__name__
    if all(parameter.is_meta for parameter in model.parameters()) and not _loads_itself(model):
        raise UnsupportedModel(f"{name} has no weights (they lie on the meta device); load them")
    found, running = Trace(), _Running(model)
    with _tracing, ExitStack() as stack:
        for module in model.modules():
            before, after = _hooks(found, running)
            stack.callback(before_call(module, before).remove)
            stack.callback(module.register_forward_hook(after).remove)
        stack.enter_context(_Watching(found, running))
        try:
            model(input_ids=token_ids(model), use_cache=False)
        except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnsupportedModel(
                f"{name} cannot read three tokens as a decoder does "
                f"({type(error).__name__}: {reason})"
            ) from error
    return found


def _loads_itself(model: nn.Module) -> bool:
    """Whether offloaded weights come when they are needed (accelerate's hooks)."""
    return any(hasattr(module, "_hf_hook") for module in model.modules())


class _Running:
    """The calls that are running, and the clock."""

    def __init__(self, model: nn.Module) -> None:
        self.thread = threading.get_ident()
        self.calls: list[Call] = []
        self.time = 0

    def tick(self) -> int:
        self.time += 1
        return self.time


def _hooks(found: Trace, running: _Running) -> tuple[Callable[..., None], Callable[..., None]]:
    def before(module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() != running.thread:
            return
        first = _first([*inputs, *kwargs.values()])
        like = torch.empty(0) if first is None else first
        call = Call(module, running.tick(), _copy(first), like.dtype, like.device)
        running.calls.append(call)
        found.calls.append(call)

    def after(module: nn.Module, _inputs: Any, output: Any) -> None:
        if threading.get_ident() != running.thread:
            return
        call = running.calls.pop()
        call.ended = running.tick()
        call.result = _copy(_first(output if isinstance(output, tuple | list) else [output]))

    return before, after


def _first(values: Sequence[Any]) -> Tensor | None:
    """The first floating tensor."""
    return next((v for v in values if isinstance(v, Tensor) and v.is_floating_point()), None)


def _copy(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.detach().to("cpu", torch.float64, copy=True)


class _Watching(TorchFunctionMode):
    """Notes where heads attend."""

    def __init__(self, found: Trace, running: _Running) -> None:
        super().__init__()
        self.found, self.running = found, running

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        heads = attending(function, result)
        if heads is not None:
            within = tuple(call.module for call in self.running.calls)
            self.found.attending.append(Attending(within, self.running.tick(), *heads))
        return result


def attending(function: Any, result: Any) -> tuple[int, int | None] | None:
    """(batch times heads, width of a head) where a function weighs the three tokens."""
    name = getattr(function, "__name__", "")
    if name not in ATTENDING or not isinstance(result, Tensor) or result.ndim < 3:
        return None
    tokens, last = result.shape[-2:]
    if tokens != TOKENS or (name == "softmax" and last < TOKENS):
        return None
    return result.shape[:-2].numel(), last if name != "softmax" else None


class _Changing(TorchFunctionMode):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        return result if attending(function, result) is None else self.change(result)


@contextmanager
def changing_heads(factor: float) -> Iterator[None]:
    """In row r + 1, scale what head r's weights over tokens give; row 0 stays as it is."""

    def change(x: Tensor) -> Tensor:
        rows = x.flatten(0, -3)
        heads = next((h for h in range(1, len(rows)) if h * (h + 1) == len(rows)), None)
        if heads is None:
            return x
        scale = torch.ones(heads + 1, heads, dtype=x.dtype, device=x.device)
        scale[1:].fill_diagonal_(factor)
        return (rows * scale.flatten()[:, None, None]).view_as(x)

    with _Changing(change):
        yield
