"""Methods made of differences: CAA, ActAdd, RepE, DiffMean, the package steering-vectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from steering import get
from steering.edit import Edit
from steering.vector import SteeringVector
from tests.steering.parity.scripts import Script


def test_caa(case: Any) -> None:
    own = case("caa")
    contrasts = [
        (pair["question"], [pair["matching"]], [pair["not_matching"]])
        for pair in own.inputs["pairs"]
    ]

    def fitted(layer: int, number: int | None = None, **settings: Any) -> SteeringVector:
        script = Script(
            contrasts=contrasts[:number],
            word_demonstration=lambda x, y: own.inputs["fit_text"].format(question=x, answer=y),
            word_target=lambda y: f" {y}",
        )
        method = get("caa")(pairs=None, layer=layer, **settings)
        return method.fit(own.model, own.tokenizer, script)

    norms = own.expected["vectors_equal_norm"].norm(dim=-1)
    for layer in range(3):
        own.agrees(fitted(layer).edits[0].tensor, "vectors", layer)
        own.agrees(fitted(layer, 5).edits[0].tensor, "vectors_second_behaviour", layer)
        equal = fitted(layer, norm=float(norms[layer]))
        own.agrees(equal.edits[0].tensor, "vectors_equal_norm", layer)
    ids, prompt = own.ids(own.inputs["text"]), own.inputs["last_token_of_end_string"] + 1
    own.agrees(own.logits(ids), "plain_logits")
    for positions, key in (
        ("continuation", "steered_logits"),
        ("generated", "steered_strictly_after_every10_logits"),
    ):
        vector = fitted(
            own.inputs["layer"], positions=positions, coefficient=own.inputs["multiplier"]
        )
        own.agrees(own.logits(ids, vector, prompt=prompt), key)


@pytest.mark.parametrize(
    ("settings", "vectors", "logits"),
    [
        ({}, "vectors", "steered_logits"),
        ({"pad": "pad_token"}, "vectors_padded_with_end_token", None),
        ({"align": "middle"}, "vectors", "steered_mid_every10_logits"),
        ({"align": "back"}, "vectors", "steered_back_every10_logits"),
    ],
)
def test_actadd(case: Any, settings: Any, vectors: str, logits: str | None) -> None:
    own = case("actadd")
    inputs = own.inputs
    method = get("actadd")(
        plus=inputs["prompt_plus"], minus=inputs["prompt_minus"], layer=inputs["layer"],
        coefficient=inputs["coefficient"], bos=True, **settings,
    )  # fmt: skip
    vector = method.fit(own.model, own.tokenizer, Script())
    own.agrees(torch.stack([edit.tensor for edit in vector.edits]), vectors)
    if logits:
        own.agrees(own.logits(torch.tensor([inputs["text_tokens"]]), vector), logits)


def test_repe(case: Any) -> None:
    own = case("repe")
    inputs, expected = own.inputs, own.expected
    shuffled = inputs["train_inputs_shuffled"]
    both = list(zip(shuffled[::2], shuffled[1::2], inputs["train_labels"], strict=True))
    pairs = [(b, a) if label == [1, 0] else (a, b) for a, b, label in both]
    swapped = tuple(i for i, (_, _, label) in enumerate(both) if label == [0, 1])

    def fitted(**settings: Any) -> SteeringVector:
        method = get("repe_pca")(pairs=None, **settings)
        return method.fit(own.model, own.tokenizer, Script(pairs=pairs))

    for order, key in ((swapped, ""), ((), "_unshuffled")):
        vector = fitted(swapped=order, first=0, last=2)
        found = torch.stack([edit.tensor for edit in reversed(vector.edits)])
        signed = expected[f"signs{key}"][:, None] * expected[f"directions{key}"]
        assert (found - signed).abs().max().item() <= 1e-5
    first = 3 + min(inputs["control_layers"])
    for keep_norm, key in ((False, "steered_logits"), (True, "steered_norm_kept_every10_logits")):
        vector = fitted(
            swapped=swapped, first=first, last=2, keep_norm=keep_norm,
            coefficient=inputs["coefficient"],
        )  # fmt: skip
        own.agrees(own.logits(own.ids(inputs["text"]), vector), key)


def test_diffmean(case: Any) -> None:
    own = case("diffmean")
    inputs = own.inputs
    pairs = list(zip(inputs["negative"], inputs["positive"], strict=True))
    settings = {"pairs": None, "layer": inputs["layer"], "largest": inputs["largest_activation"]}
    for factor, key in (
        (inputs["factor"], "steered_logits"),
        (5.0, "steered_factor_5_every10_logits"),
    ):
        method = get("diffmean")(coefficient=factor, **settings)
        vector = method.fit(own.model, own.tokenizer, Script(pairs=pairs))
        tensor = vector.edits[0].tensor
        own.agrees(tensor / inputs["largest_activation"], "diffmean_unit")
        own.agrees(own.logits(own.ids(inputs["text"]), vector), key)


def test_the_package_steering_vectors(case: Any) -> None:
    own = case("steering_vectors")
    inputs, expected = own.inputs, own.expected
    script = Script(pairs=[(negative, positive) for positive, negative in inputs["pairs"]])

    def fitted(name: str, **settings: Any) -> SteeringVector:
        return get(name)(pairs=None, **settings).fit(own.model, own.tokenizer, script)

    pca = fitted("repe_pca", first=0, last=2, centred=False, sign="mean", final_norm=False)
    for layer in range(3):
        mean = fitted("caa", read_token="last", layer=layer).edits[0].tensor
        own.agrees(mean, "mean", layer)
        own.agrees(pca.edits[layer].tensor, "pca", layer)
        probe = fitted("probe", layer=layer).edits[0].tensor
        # the package stops at the solver's tolerance
        assert torch.cosine_similarity(probe, expected["logistic"][layer], dim=0) > 0.9999
    ids = own.ids(inputs["text"])
    for positions, key in (("all", "logits"), ("generated", "from_token_5_every10_logits")):
        vector = fitted(
            "caa", read_token="last", layer=inputs["layer"], positions=positions,
            coefficient=inputs["multiplier"],
        )  # fmt: skip
        prompt = inputs["from_token"]
        own.agrees(own.logits(ids, vector, prompt=prompt), f"steered_{key}")
    removed = Edit("block_output", inputs["layer"], "project_out", pca.edits[1].tensor)
    own.agrees(own.logits(ids, SteeringVector((removed,))), "ablation_every10_logits")
