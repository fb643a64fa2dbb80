"""Operations against hand calculations."""

from __future__ import annotations

import math

import pytest
import torch

from steering import OPERATIONS

X = torch.tensor([[3.0, 4.0]])
V = torch.tensor([0.0, 2.0])


@pytest.mark.parametrize(
    ("name", "coefficient", "expected"),
    [
        ("add", 0.5, (3.0, 5.0)),
        ("replace", 1.0, (0.0, 2.0)),
        ("replace", 0.5, (1.5, 3.0)),
        ("project_out", 1.0, (3.0, 0.0)),
        ("project_out", 0.5, (3.0, 2.0)),
        ("clamp", 1.0, (3.0, 2.0)),
        ("clamp", 0.5, (3.0, 3.0)),
    ],
)
def test_by_hand(name: str, coefficient: float, expected: tuple[float, float]) -> None:
    found = OPERATIONS[name](X, V, coefficient)
    assert found.tolist()[0] == pytest.approx(expected, abs=1e-6)


def test_norm_preserving_add_by_hand() -> None:
    # u = (0.6, 0.8) + 0.5 * gate * (0, 1), gate 1 as the cosine with -v is negative
    u = (0.6, 1.3)
    size = 5 / math.hypot(*u)
    found = OPERATIONS["norm_preserving_add"](X, V, 0.5).tolist()[0]
    assert found == pytest.approx((u[0] * size, u[1] * size), abs=1e-5)
    # against -v the gate is 1 + cos = 1.8
    u = (0.6, 0.8 - 0.5 * 1.8)
    size = 5 / math.hypot(*u)
    found = OPERATIONS["norm_preserving_add"](X, -V, 0.5).tolist()[0]
    assert found == pytest.approx((u[0] * size, u[1] * size), abs=1e-5)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_dtype_is_kept_and_the_input_is_not_touched(name: str, dtype: torch.dtype) -> None:
    x = X.to(dtype)
    before = x.clone()
    assert OPERATIONS[name](x, V, 0.3).dtype == dtype
    assert torch.equal(x, before)
