"""Other libraries, where they are installed: the same edit, equal logits first, then the time.

lm-eval's `steered` always is; the others are tried with `pip install --no-deps`, since some of them
pin older versions of transformers and numpy. One that does not import is skipped with its reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from steering import Edit, SteeringVector
from tests.benchmarks.conftest import DEVICE, Clock, ids, shaped

LAYER, ROWS, TOKENS = 3, 8, 64
Forward = Callable[[Tensor], Tensor]


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as problem:  # whatever a foreign package raises
        pytest.skip(f"{name}, whose code is compared with, cannot be imported: {problem}")


def change() -> Tensor:
    return torch.randn(768, generator=torch.Generator().manual_seed(0)).to(DEVICE)


def arguments() -> dict[str, Any]:
    """Positions are given because repeng reads them, row by row."""
    positions = torch.arange(TOKENS, device=DEVICE).expand(ROWS, -1)
    return {"use_cache": False, "logits_to_keep": 1, "position_ids": positions}


def called(model: Any) -> Forward:
    return lambda rows: model(input_ids=rows, **arguments()).logits


@contextmanager
def plain(model: Any) -> Iterator[Forward]:
    yield called(model)


@contextmanager
def steergauge(model: Any) -> Iterator[Forward]:
    with SteeringVector((Edit("block_output", LAYER, "add", change()),)).attached(model):
        yield called(model)


@contextmanager
def lm_eval_steered(model: Any) -> Iterator[Forward]:
    module = library("lm_eval.models.hf_steered")
    add = partial(module.SteeredModel.add, vector=change(), head_index=None)
    with module.steer(model, {f"h.{LAYER}": add}):
        yield called(model)


@contextmanager
def steering_vectors(model: Any) -> Iterator[Forward]:
    vector = library("steering_vectors").SteeringVector({LAYER: change()}, "decoder_block")
    with vector.apply(model):
        yield called(model)


@contextmanager
def repeng(model: Any) -> Iterator[Forward]:
    wrapped = library("repeng").ControlModel(model, [LAYER])
    try:
        wrapped.set_raw_control({LAYER: change()})
        yield called(model)
    finally:
        wrapped.unwrap()


@contextmanager
def nnsight(model: Any) -> Iterator[Forward]:
    traced, vector = library("nnsight").NNsight(model), change()

    def forward(rows: Tensor) -> Tensor:
        with traced.trace(input_ids=rows, **arguments()):
            block = traced.transformer.h[LAYER]
            block.output = block.output + vector
            found = traced.output.save()
        logits: Tensor = found.logits
        return logits

    yield forward


@contextmanager
def pyvene(model: Any) -> Iterator[Forward]:
    module = library("pyvene")
    intervention = module.AdditionIntervention(embed_dim=768, source_representation=change())
    wrapped = module.IntervenableModel(
        {"layer": LAYER, "component": "block_output", "intervention": intervention}, model
    )
    where = {"base": list(range(TOKENS))}
    yield lambda rows: wrapped({"input_ids": rows, **arguments()}, unit_locations=where)[1].logits


PEERS = [plain, steergauge, lm_eval_steered, steering_vectors, repeng, nnsight, pyvene]


@pytest.mark.filterwarnings("ignore")  # other people's
@pytest.mark.benchmark(group=f"peers: one added vector, 12 x 12, {ROWS} rows of {TOKENS} tokens")
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__.replace("_", "-"))
@torch.no_grad()
def test_forward(clock: Clock, peer: Any) -> None:
    model, bare = shaped(12, 12), shaped(12, 12)  # fresh: some peers leave theirs changed
    rows = torch.tensor([ids(TOKENS, seed) for seed in range(ROWS)], device=DEVICE)
    with steergauge(model) as ours:
        expected = ours(rows)
    with peer(model) as forward:
        if peer is not plain:
            torch.testing.assert_close(forward(rows), expected, atol=1e-4, rtol=1e-4)
        clock(lambda: forward(rows), baseline=peer is plain, beside=lambda: called(bare)(rows))
