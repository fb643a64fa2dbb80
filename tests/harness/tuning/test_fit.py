"""Fitter: one fit per content, kept between runs, and the price of a fit is its own."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import harness.measuring.code
import harness.tuning.fit
from harness.errors import UserCodeFailed
from harness.tuning.fit import Fitter
from steering import (
    Edit,
    SearchSpace,
    Shape,
    SteeringError,
    SteeringMethod,
    SteeringVector,
    get,
    remembering,
)
from steering.memo import recall
from task_defs import Examples, Template

TEMPLATE = Template("Q: {{input}}\nA:", "{{output}}")
PAIRS = tuple((f"in{i}", f"out{i}") for i in range(8))
EXAMPLES = Examples("words", PAIRS, 2, TEMPLATE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted(SteeringMethod):
    """A method that counts its fits and shares half of its work."""

    name: ClassVar[str] = "counted"
    version: ClassVar[str] = "1"
    summary: ClassVar[str] = "Counts its fits."
    fits: ClassVar[list[int]] = []

    size: float = 1.0

    @classmethod
    def search_space(cls, shape: Shape) -> SearchSpace:
        return {}

    def fit(self, model: Any, tokenizer: Any, examples: Any) -> SteeringVector:
        self.fits.append(self.seed)
        recall("shared work", lambda: time.sleep(0.2))
        tensor = torch.full((32,), self.size + self.seed)
        return SteeringVector((Edit("block_output", 1, "add", tensor, "all"),))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(Counted, "fits", [])
    for module in (harness.tuning.fit, harness.measuring.code):
        monkeypatch.setattr(module, "get", lambda name: Counted if name == "counted" else get(name))
    return Counted.fits


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(checkpoint)


def tensors(vector: SteeringVector) -> Sequence[torch.Tensor]:
    return [edit.tensor for edit in vector.edits]


def test_the_same_content_is_fitted_once(loaded: tuple[Any, Any], fits: list[int]) -> None:
    fitter = Fitter(*loaded, "hash")
    first = fitter.fit("counted", {"size": 2.0}, EXAMPLES)
    assert fitter.fit("counted", {"size": 2.0, "seed": 0}, EXAMPLES) is first
    assert fitter.fit("counted", {"size": 2.0}, Examples("words", PAIRS, 2, TEMPLATE)) is first
    assert len(fits) == 1
    assert first.vector.edits[0].tensor.tolist() == [2.0] * 32


@pytest.mark.parametrize("changed", ["setting", "seed", "pairs", "template", "shots", "model"])
def test_other_content_is_fitted_anew(
    loaded: tuple[Any, Any], fits: list[int], tmp_path: Path, changed: str
) -> None:
    Fitter(*loaded, "hash", tmp_path).fit("counted", {}, EXAMPLES, keep=True)
    settings = {"setting": {"size": 3.0}, "seed": {"seed": 5}}.get(changed, {})
    change = {
        "pairs": {"pairs": PAIRS[:-1]},
        "template": {"template": Template("{{input}} ->", "{{output}}")},
        "shots": {"shots": 3},
    }.get(changed, {})
    other = Fitter(*loaded, "other" if changed == "model" else "hash", tmp_path)
    other.fit("counted", settings, dataclasses.replace(EXAMPLES, **change))
    assert len(fits) == 2


def test_a_kept_vector_is_read_back(
    loaded: tuple[Any, Any], fits: list[int], tmp_path: Path
) -> None:
    first = Fitter(*loaded, "hash", tmp_path).fit("counted", {}, EXAMPLES, keep=True)
    again = Fitter(*loaded, "hash", tmp_path).fit("counted", {}, EXAMPLES)
    assert len(fits) == 1
    assert again.seconds == first.seconds > 0
    assert again.vector.provenance["fit_seconds"] == first.seconds
    assert all(map(torch.equal, tensors(again.vector), tensors(first.vector)))
    assert again.vector.coefficient == first.vector.coefficient


def test_only_kept_vectors_are_saved(
    loaded: tuple[Any, Any], fits: list[int], tmp_path: Path
) -> None:
    fitter = Fitter(*loaded, "hash", tmp_path)
    fitter.fit("counted", {}, EXAMPLES)
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        fitter.fit("counted", {}, EXAMPLES, keep=True)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(fits) == 1


def test_shared_work_is_charged_to_every_fit(loaded: tuple[Any, Any], fits: list[int]) -> None:
    fitter = Fitter(*loaded, "hash")
    with remembering():
        started = time.perf_counter()
        found = [fitter.fit("counted", {"seed": seed}, EXAMPLES).seconds for seed in range(3)]
        wall = time.perf_counter() - started
    assert len(fits) == 3
    assert all(seconds >= 0.2 for seconds in found)
    assert wall < sum(found)


@pytest.mark.parametrize("method", ["fv", "icv"])
def test_a_real_method_is_what_it_fits_alone(
    loaded: tuple[Any, Any], tmp_path: Path, method: str
) -> None:
    model, tokenizer = loaded
    alone = get(method)().fit(model, tokenizer, EXAMPLES)
    fitter = Fitter(model, tokenizer, "hash", tmp_path)
    fitted = fitter.fit(method, {}, EXAMPLES, keep=True)
    read = Fitter(model, tokenizer, "hash", tmp_path).fit(method, {}, EXAMPLES)
    for vector in (fitted.vector, read.vector):
        assert all(map(torch.equal, tensors(vector), tensors(alone)))
        assert {**vector.provenance, "fit_seconds": 0} == {**alone.provenance, "fit_seconds": 0}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"coefficient": math.inf}, "coefficient is inf"), ({"coefficient": "1"}, "is '1'"),
     ({"coefficient": torch.tensor(1.0)}, "coefficient is Tensor"), ({"edits": ()}, "without an"),
     ({"provenance": {"words": {1, 2}}}, "set is not JSON"),
     ({"provenance": {"loss": math.nan}}, "provenance is no JSON"),
     ({"edits": (Edit("block_output", 1.0, "add", torch.ones(32), "all"),)}, "layer of an edit"),  # type: ignore[arg-type]
     ({"edits": (Edit("block_output", 1, "add", torch.ones(2, 16), "all"),)}, "shape (2, 16)")],
)  # fmt: skip
def test_a_vector_that_is_none_is_one_line(
    loaded: tuple[Any, Any], fits: list[int], monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any], said: str, tmp_path: Path,
) -> None:  # fmt: skip
    plain = Counted.fit
    made = lambda self, *given: dataclasses.replace(plain(self, *given), **change)  # noqa: E731
    monkeypatch.setattr(Counted, "fit", made)
    with pytest.raises(UserCodeFailed) as caught:
        Fitter(*loaded, "hash", tmp_path).fit("counted", {}, EXAMPLES, keep=True)
    assert "counted.fit on words returned no sound vector" in str(caught.value)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [("fvv", {}, "Did you mean 'fv'"), ("fv", {"layr": 1}, "Did you mean 'layer'|layr")],
)
def test_a_wrong_name_is_one_line(
    loaded: tuple[Any, Any], method: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SteeringError, match=message) as caught:
        Fitter(*loaded, "hash").fit(method, settings, EXAMPLES)
    assert "\n" not in str(caught.value)
