"""Methods made of right and wrong answers or wanted and unwanted texts at several places."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from steering import get
from steering.first_token import divergence, last_log_probs, log_odds
from steering.operations import rotate
from steering.tokens import prompt_ids
from steering.vector import SteeringVector
from tests.steering.parity.scripts import Script, graded, in_turn


def question_and_answer(x: str, y: str) -> str:
    return f"Q: {x} A: {y}"


def iti_script(inputs: dict[str, Any]) -> Script:
    order = [*inputs["train_questions"], *inputs["validation_questions"], *inputs["test_questions"]]
    contrasts = graded([inputs["questions"][i] for i in order])
    others = [inputs["questions"][inputs["other_question_of_each"][i]]["question"] for i in order]
    texts = [
        f"Q: {x} A: {y} Q: {other}"
        for (x, right, wrong), other in zip(contrasts, others, strict=True)
        for y in (*right, *wrong)
    ]
    return Script(
        contrasts=contrasts,
        word_demonstration=question_and_answer,
        word_target=lambda y: f" {y}",
        word_prompt=in_turn(texts),
    )


@pytest.mark.parametrize("direction", ["mass_mean", "probe"])
def test_iti(case: Any, direction: str) -> None:
    own = case("iti")
    inputs, expected = own.inputs, own.expected

    def fitted(**settings: Any) -> SteeringVector:
        method = get("iti")(
            pairs=None, direction=direction, unseen=len(inputs["test_questions"]),
            coefficient=inputs["alpha"], **settings,
        )  # fmt: skip
        return method.fit(own.model, own.tokenizer, iti_script(inputs))

    vector = fitted(sigma_from="questions", top_heads=12)
    key = "centre_of_mass" if direction == "mass_mean" else "probe"
    for edit, accuracy in zip(vector.edits, vector.provenance["accuracies"], strict=True):
        at = edit.layer, edit.head
        assert accuracy == pytest.approx(float(expected["validation_accuracy"][at]), abs=1e-6)
        assert float(edit.tensor.norm()) == pytest.approx(
            float(expected[f"sigma_{key}"][at]), abs=1e-5 if direction == "mass_mean" else 1e-3
        )
        whole = expected["centre_of_mass" if direction == "mass_mean" else "probe_weights"][at]
        assert torch.cosine_similarity(edit.tensor, whole, dim=0) > 0.9999
    chosen = fitted(sigma_from="questions", top_heads=inputs["heads"])
    assert sorted(chosen.provenance["heads"]) == sorted(inputs["top_heads_sorted"])
    ids, prompt = own.ids(inputs["text"]), inputs["edit_from_token"] + 1
    if direction == "mass_mean":
        own.agrees(own.logits(ids, chosen, prompt=prompt), "steered_logits")
        last = own.logits(ids, chosen, prompt=ids.shape[1])[-1]
        own.agrees(last, "steered_last_token_last_logits")
        newer = fitted(sigma_from="questions", top_heads=inputs["heads"], ddof=1)
        for edit in newer.edits:
            head = slice(16 * edit.head, 16 * edit.head + 16)
            own.agrees(edit.tensor, "new_code_displacement_per_alpha", (edit.layer, head))
        own.agrees(own.logits(ids, newer)[-1], "steered_new_code_last_logits")
        for edit in fitted(top_heads=12).edits:
            sigma = expected["sigma_centre_of_mass_train_and_validation_only"]
            norm = float(edit.tensor.norm())
            assert norm == pytest.approx(float(sigma[edit.layer, edit.head]), abs=1e-5)


def test_ablation(case: Any) -> None:
    own = case("directional_ablation")
    inputs = own.inputs
    word = inputs["template"].replace("{instruction}", "{}").format
    pairs = [
        (word(harmless), word(harmful))
        for harmful, harmless in zip(inputs["harmful_train"], inputs["harmless_train"], strict=True)
    ]

    def fitted(**settings: Any) -> SteeringVector:
        method = get("ablation")(pairs=None, **settings)
        return method.fit(own.model, own.tokenizer, Script(pairs=pairs))

    for row, token in enumerate(inputs["positions"]):
        for layer in range(3):
            vector = fitted(token=token, layer=layer, mode="add")
            own.agrees(vector.edits[0].tensor, "mean_differences", (row, layer))
    place = {"token": inputs["selected_position"], "layer": inputs["selected_layer"]}
    ids = own.ids(inputs["text"])
    own.agrees(own.logits(ids, fitted(**place)), "steered_ablation_logits")
    scores = torch.zeros(4, 3, 3, dtype=torch.float64)
    held = [[word(text) for text in inputs[f"{kind}_val"]] for kind in ("harmful", "harmless")]
    harmful, harmless = (prompt_ids(own.tokenizer, texts) for texts in held)
    for row, token in enumerate(inputs["positions"]):
        for layer in range(3):
            ablated = fitted(token=token, layer=layer)
            added = fitted(token=token, layer=layer, mode="add")
            refused = last_log_probs(own.model, harmful, ablated)
            scores[row, layer, 0] = log_odds(refused, inputs["refusal_tokens"])
            brought = last_log_probs(own.model, harmless, added)
            scores[row, layer, 1] = log_odds(brought, inputs["refusal_tokens"])
            plain = last_log_probs(own.model, harmless)
            moved = last_log_probs(own.model, harmless, ablated)
            scores[row, layer, 2] = divergence(plain, moved)
    own.agrees(scores, "selection_scores")
    pairs += list(zip(held[1], held[0], strict=True))
    choice = {"targets": tuple(inputs["refusal_tokens"]), "tokens": 4, "validation": 3}
    chosen = fitted(**choice, largest_drift=None, least_induced=None)
    assert (chosen.provenance["token"], chosen.provenance["layer"]) == tuple(place.values())
    own.agrees(chosen.edits[0].tensor, "direction")
    filters = inputs["filter_example"]
    limited = fitted(
        **choice, largest_drift=filters["kl_threshold"] + 1e-6,
        least_induced=filters["induce_refusal_threshold"] - 1e-6,
    ).provenance  # fmt: skip
    rows = [inputs["positions"].index(limited["token"]), limited["layer"]]
    assert rows in filters["kept_position_index_and_layer"]
    pairs = pairs[: -len(held[0])]
    added = fitted(mode="add", **place)
    own.agrees(own.logits(ids, added), "steered_addition_every10_logits")
    own.agrees(own.logits(ids, -added), "steered_subtraction_every10_logits")


def test_spherical(case: Any) -> None:
    own = case("spherical")
    inputs, expected = own.inputs, own.expected
    questions = inputs["questions"]
    for fold in (0, 1):
        half = questions[len(questions) // 2 :] if fold == 0 else questions[: len(questions) // 2]
        script = Script(
            contrasts=graded(half),
            word_demonstration=question_and_answer,
            word_target=lambda y: f" {y}",
        )

        def fitted(script: Script = script, **settings: Any) -> SteeringVector:
            method = get("spherical")(pairs=None, layer=inputs["layer"], **settings)
            return method.fit(own.model, own.tokenizer, script)

        own.agrees(fitted().edits[0].tensor, "prototype_true_by_fold", fold)
        if fold == 1:
            continue
        ids, prompt = torch.tensor([inputs["text_tokens"]]), inputs["steer_from_token"] + 1
        main = {key: inputs[key] for key in ("kappa", "beta")} | {"coefficient": inputs["alpha"]}
        gentle = {**inputs["gentle"]}
        gentle["coefficient"] = gentle.pop("alpha")
        own.agrees(own.logits(ids, fitted(**main), prompt=prompt), "steered_logits")
        found = own.logits(ids, fitted(**gentle), prompt=prompt)
        own.agrees(found, "steered_gentle_every10_logits")
        found = own.logits(ids, fitted(positions="all", **main))
        own.agrees(found, "steered_all_tokens_every10_logits")
    prototype = expected["prototype_true_by_fold"][0]
    for row, (kappa, alpha, beta) in enumerate(inputs["function_settings_kappa_alpha_beta"]):
        found = rotate(expected["function_inputs"], prototype, alpha, kappa=kappa, beta=beta)
        own.agrees(found, "function_outputs", row)


def test_cast(case: Any) -> None:
    own = case("cast")
    inputs, expected = own.inputs, own.expected
    ((good, bad),) = inputs["suffixes"]
    script = Script(
        pairs=[tuple(reversed(pair))[::-1] for pair in inputs["condition_pairs"]],
        contrasts=[(prompt, [good], [bad]) for prompt in inputs["behaviour_prompts"]],
        word_demonstration=lambda x, y: f"{x}{y}",
        word_target=lambda y: y,
        word_prompt=lambda _, x: x,
    )

    def fitted(**settings: Any) -> SteeringVector:
        method = get("cast")(pairs=None, coefficient=inputs["strength"], **settings)
        return method.fit(own.model, own.tokenizer, script)

    every = fitted(first=0, last=2, conditional=False)
    own.agrees(torch.stack([edit.tensor for edit in every.edits]), "behaviour_pca_pairwise")
    for layer in range(3):
        conditions = fitted(condition_layer=layer, threshold=0.0, above=True)
        own.agrees(conditions.edits[0].tensor, "condition_vectors", layer)
    layers = inputs["behaviour_layers"]
    plain = fitted(first=min(layers), last=max(layers), conditional=False)
    ids, other = own.ids(inputs["text"]), own.ids(inputs["other_text"])
    own.agrees(own.logits(ids, plain), "steered_logits")
    conditional = fitted(
        first=min(layers), last=max(layers), condition_layer=inputs["condition_layer"],
        threshold=inputs["threshold"], above=inputs["comparator"] == "smaller",
    )  # fmt: skip
    own.agrees(own.logits(ids, conditional), "steered_logits")
    own.agrees(own.logits(other, conditional)[-1], "conditional_other_text_last_logits")
    found = fitted(first=2, last=2)
    point = inputs["best_point"]
    gate = found.edits[0]
    assert [gate.layer] == point["layers"]
    assert gate.parameters["threshold"] == pytest.approx(point["threshold"])
    assert bool(gate.parameters["above"]) == (point["comparator"] == "smaller")
    assert expected["condition_similarities_mean"].shape == (2, 3)


@pytest.mark.parametrize(
    ("settings", "logits"),
    [
        ({}, "steered_logits"),
        ({"coefficient": 0.5}, "steered_half_strength_every10_logits"),
        ({"support": "all"}, "steered_everywhere_every10_logits"),
        ({"transport": "mean"}, "steered_mean_act_every10_logits"),
        ({"sequential": False}, None),
    ],
)
def test_linear_act(case: Any, settings: Any, logits: str | None) -> None:
    own = case("act")
    inputs, expected = own.inputs, own.expected
    pairs = list(zip(inputs["source_texts"], inputs["destination_texts"], strict=True))
    final = any("ln_f" in site for site in inputs["sites"])
    method = get("linear_act")(pairs=None, final_norm=final, **settings)
    vector = method.fit(own.model, own.tokenizer, Script(pairs=pairs))
    assert len(vector.edits) == len(inputs["sites"])
    shift = torch.stack([edit.tensor for edit in vector.edits])
    slope, centre, low, high = (
        torch.stack([torch.as_tensor(edit.parameters[name]) for edit in vector.edits])
        for name in ("slope", "centre", "low", "high")
    )
    if settings in ({}, {"sequential": False}):
        key = "" if settings == {} else "_at_once"
        own.agrees(slope, f"linear_slopes{key}")
        own.agrees(centre + shift - slope * centre, f"linear_offsets{key}")
    if settings == {}:
        own.agrees(torch.stack([low, high], dim=1), "linear_support")
    if "transport" in settings:
        own.agrees(shift, "mean_shifts")
    assert expected["plain_logits"].shape[1] == 700
    if logits:
        own.agrees(own.logits(own.ids(inputs["text"]), vector), logits)
