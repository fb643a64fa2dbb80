"""Operations against hand calculations."""

from __future__ import annotations

import math

import pytest
import torch

from steering import OPERATIONS
from steering.operations import AXES, PARAMETERS, stacked

X = torch.tensor([[3.0, 4.0]])
V = torch.tensor([0.0, 2.0])
WITH = {
    "replace_by_code": {"keys": torch.tensor([[1.0, 0.0]]), "borders": torch.tensor([2.0])},
    "rotate": {"kappa": 20.0, "beta": -0.15},
    "turn_in_plane": {"angle": 90.0, "adaptive": 0.0},
    "transport": {
        "centre": torch.tensor([1.0, 1.0]), "slope": torch.tensor([2.0, 2.0]),
        "low": torch.tensor([0.0, 0.0]), "high": torch.tensor([4.0, 4.0]),
    },
    "condition": {"threshold": 0.1, "above": 1.0},
}  # fmt: skip


def tensor_of(name: str) -> torch.Tensor:
    return torch.stack([V, torch.tensor([1.0, 0.0])]) if AXES.get(name) == 2 else V


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
    found = OPERATIONS[name](x, tensor_of(name), 0.3, **WITH.get(name, {}))
    assert found.dtype == (torch.bool if name == "condition" else dtype)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"condition"}))
def test_coefficient_0_is_the_identity(name: str) -> None:
    found = OPERATIONS[name](X, tensor_of(name), 0.0, **WITH.get(name, {}))
    assert found.tolist()[0] == pytest.approx((3.0, 4.0), abs=1e-5)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"condition"}))
def test_rows_of_their_own_are_those_of_single_calls(name: str) -> None:
    """Edits side by side (r, 1, ...), as vectors by row and shared passes apply them."""
    torch.manual_seed(0)
    x, shape = torch.randn(3, 4, 2), tensor_of(name).shape
    tensors = [torch.randn(shape) for _ in range(3)]
    strengths = torch.tensor([0.2, 0.7, 1.0])
    own = {key: value.unsqueeze(1) for key, value in stacked([WITH.get(name, {})] * 3).items()}
    both = OPERATIONS[name](x, torch.stack(tensors).unsqueeze(1), strengths[:, None, None], **own)
    for row, (tensor, strength) in enumerate(zip(tensors, strengths.tolist(), strict=True)):
        alone = OPERATIONS[name](x[row], tensor, strength, **WITH.get(name, {}))
        torch.testing.assert_close(both[row], alone, atol=1e-5, rtol=1e-5)


def test_every_parameter_is_named() -> None:
    assert {name: set(own) for name, own in WITH.items()} == {
        name: set(own) for name, own in PARAMETERS.items() if own
    }


def test_transport_by_hand() -> None:
    # centre + v + 2 (x - centre) = (5, 9), but 4 is not below the upper end of the range
    found = OPERATIONS["transport"](X, V, 1.0, **WITH["transport"])
    assert found.tolist()[0] == pytest.approx((5.0, 4.0))
    half = OPERATIONS["transport"](X, V, 0.5, **WITH["transport"])
    assert half.tolist()[0] == pytest.approx((4.0, 4.0))


@pytest.mark.parametrize(("angle", "part"), [(0.0, 1.0), (90.0, 1.0), (200.0, 1.0), (90.0, 0.25)])
def test_turn_in_plane_by_hand(angle: float, part: float) -> None:
    torch.manual_seed(0)
    x, plane = torch.randn(7), torch.zeros(2, 7)
    plane[0, 2], plane[1, 5], plane[1, 2] = 3.0, 2.0, 1.0  # not at a right angle
    found = OPERATIONS["turn_in_plane"](x, plane, part, angle=angle, adaptive=0.0)
    now = math.degrees(math.atan2(float(x[5]), float(x[2])))
    way = (angle - now + 180) % 360 - 180
    then, size = math.radians(now + part * way), math.hypot(float(x[2]), float(x[5]))
    expected = x.clone()
    expected[2], expected[5] = size * math.cos(then), size * math.sin(then)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert float(found.norm()) == pytest.approx(float(x.norm()), abs=1e-5)


def test_an_adaptive_turn_leaves_the_other_side_alone() -> None:
    x, plane = torch.tensor([[2.0, 1.0], [-2.0, 1.0]]), torch.eye(2)
    found = OPERATIONS["turn_in_plane"](x, plane, 1.0, angle=90.0, adaptive=1.0)
    assert found[0].tolist() == pytest.approx((0.0, math.sqrt(5)), abs=1e-5)
    assert torch.equal(found[1], x[1])


def test_rotate_keeps_the_norm_and_stops_at_its_gate() -> None:
    towards = torch.tensor([1.0, 0.0])
    x = torch.tensor([[-3.0, 4.0], [4.0, 3.0]])
    found = OPERATIONS["rotate"](x, towards, 0.5, kappa=20.0, beta=-0.15)
    share = 0.5 * (math.tanh(20 * 0.6) + 0.15) / 1.15
    angle = (1 - share) * math.acos(-0.6)
    assert found[0].tolist() == pytest.approx((5 * math.cos(angle), 5 * math.sin(angle)), abs=1e-4)
    assert torch.equal(found[1], x[1])  # on the right side already


def test_every_activation_draws_its_own_of_several_tensors() -> None:
    bank, own = torch.tensor([[1.0, 1.0], [9.0, 9.0]]), WITH["replace_by_code"]
    x = torch.tensor([[3.0, 0.0], [1.0, 0.0]])  # above and below the border at 2
    assert OPERATIONS["replace_by_code"](x, bank, 1.0, **own).tolist() == [[9, 9], [1, 1]]


@pytest.mark.parametrize(("threshold", "above", "met"), [(0.5, 1, 1), (0.9, 1, 0), (0.9, 0, 1)])
def test_a_condition_by_hand(threshold: float, above: float, met: int) -> None:
    # the part of (3, 4) along (0, 2) is (0, 4), its tanh (0, .9993): the cosine with (3, 4) is .8
    found = OPERATIONS["condition"](X, V, threshold=threshold, above=float(above))
    assert found.tolist() == [bool(met)]
