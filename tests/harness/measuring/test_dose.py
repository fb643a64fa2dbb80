"""Doses against plain loops over single sentences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.measuring.dose import CLOSE, NEUTRAL, DoseNotReached, Gauge
from steering import Edit, SteeringVector


@pytest.fixture(scope="module")
def gauge(checkpoint: str) -> Gauge:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    return Gauge(model, AutoTokenizer.from_pretrained(checkpoint))


def vector(gauge: Gauge, coefficient: float = 1.0, positions: str = "all") -> SteeringVector:
    size = gauge.model.config.hidden_size
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return SteeringVector((Edit("block_output", 0, "add", noise, positions),), coefficient)


def adding(change: torch.Tensor, kept: list[torch.Tensor]) -> Callable[..., object]:
    def hook(_module: object, _inputs: object, out: torch.Tensor) -> torch.Tensor:
        kept.append((out + change)[0])
        return out + change

    return hook


@torch.no_grad()
def by_hand(gauge: Gauge, steered: SteeringVector) -> tuple[float, float, float, float]:
    """One sentence at a time, with a hook of this test's own and the definition of KL."""
    model, edit = gauge.model, steered.edits[0]
    block = model.get_decoder().layers[0]
    kls, shifts, norms, lost = [], [], [], []
    for row, total in zip(gauge.inputs["input_ids"], gauge.totals.tolist(), strict=True):
        ids = row[None, :total]
        start = (total + 1) // 2 - 1
        states: list[torch.Tensor] = []

        logits = []
        for strength in (0.0, steered.coefficient):
            handle = block.register_forward_hook(adding(strength * edit.tensor, states))
            logits.append(model(ids).logits[0].double())
            handle.remove()
        p, q = (torch.softmax(x, dim=-1) for x in logits)
        for t in range(start, total):
            kls.append(float((p[t] * (p[t] / q[t]).log()).sum()))
            difference = (states[1][t] - states[0][t]).norm() / states[0][t].norm()
            shifts.append(float(difference))
            norms.append(float(states[0][t].norm()))
            if t + 1 < total:
                lost.append(float((p[t, ids[0, t + 1]] / q[t, ids[0, t + 1]]).log()))
    kl, shift, norm, loss = (sum(each) / len(each) for each in (kls, shifts, norms, lost))
    return kl, shift, norm, math.exp(loss)


def test_a_dose_is_what_a_loop_finds(gauge: Gauge) -> None:
    steered = vector(gauge, 0.7)
    kl, shift, norm, ratio = by_hand(gauge, steered)
    found = gauge.measure(steered)
    assert found.kl == pytest.approx(kl, rel=1e-4)
    assert found.shift == pytest.approx(shift, rel=1e-4)
    assert found.norm == pytest.approx(norm, rel=1e-4)
    assert found.perplexity_ratio == pytest.approx(ratio, rel=1e-4)
    assert found.moved == pytest.approx(0.7 * steered.norm, rel=1e-4)
    assert kl > 0.01


def test_no_vector_no_dose(gauge: Gauge) -> None:
    found = gauge.measure(vector(gauge, 0.0))
    assert (found.kl, found.shift, found.moved) == (0, 0, 0)


@pytest.mark.parametrize("wanted", [0.05, 0.2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_coefficient_gives_the_dose_asked_for(gauge: Gauge, wanted: float, sign: int) -> None:
    steered = vector(gauge, sign)
    strength = gauge.coefficient(steered, wanted)
    assert math.copysign(1, strength) == sign
    reached = gauge.measure(steered.with_coefficient(strength)).kl
    assert reached == pytest.approx(wanted, rel=CLOSE)


def test_a_dose_out_of_reach_is_said(gauge: Gauge) -> None:
    with pytest.raises(DoseNotReached, match="a dose of 1000 nats cannot be reached"):
        gauge.coefficient(vector(gauge), 1000.0)


def test_neutral_sentences_are_all_different() -> None:
    assert len(set(NEUTRAL)) == len(NEUTRAL) == 16
