"""The five conventions that a method states are those by which it reads and acts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from steering import SteeringVector, check_method, get, names, resolve
from steering.conventions import HEADS, table
from steering.operations import OPERATIONS
from task_defs import Examples, Template

METHODS = [name for name in names() if not get(name).control]
SIGNED = [name for name in METHODS if "undesired" in get(name).conventions.sign] + [
    "repe_pca", "probe",
]  # fmt: skip
DOCS = Path(__file__).parents[3] / "docs" / "methods.md"
QUICK: dict[str, dict[str, Any]] = {
    "fv": {"mean_prompts": 6, "effect_prompts": 3, "top_heads": 3},
    "fv_distributed": {"mean_prompts": 6, "effect_prompts": 3, "top_heads": 3},
    "instruction_fv": {"mean_prompts": 6, "effect_prompts": 3, "top_heads": 3},
    "learned": {"steps": 3},
    "cast": {"conditional": False},
    "linear_act": {"sequential": False, "transport": "mean"},
    "ablation": {"mode": "add"},
}


def fitted(name: str, model: Any, tokenizer: Any, examples: Any, **more: Any) -> SteeringVector:
    settings = {**QUICK.get(name, {}), **more}
    return get(name).from_settings(settings).fit(model, tokenizer, examples)


@pytest.mark.parametrize("name", METHODS)
def test_they_are_stated_kept_and_printed(
    name: str, model: Any, tokenizer: Any, examples: Examples, tmp_path: Path
) -> None:
    stated = get(name).conventions
    vector = fitted(name, model, tokenizer, examples)
    assert vector.provenance["conventions"] == stated.as_json()
    card = (vector.save_pretrained(tmp_path / "v") / "README.md").read_text(encoding="utf-8")
    for key, head in HEADS.items():
        assert f"- {head}: {getattr(stated, key)}\n" in card


@pytest.mark.parametrize("name", METHODS)
def test_where_a_method_acts_and_on_which_tokens(
    name: str, model: Any, tokenizer: Any, examples: Examples
) -> None:
    stated = get(name).conventions
    own = {"linear_act": {}, "ablation": {"mode": "ablate"}, "cast": {}}.get(name, {})
    method = get(name).from_settings({**QUICK.get(name, {}), **own})
    if name == "cast":
        method = get(name)()
    vector = method.fit(model, tokenizer, examples)
    sites, _, operations = stated.acts_at.partition(": ")
    found = {edit.site for edit in vector.edits}
    if sites == "norm outputs":
        assert found == {"norm_1", "norm_2"}
        assert len(vector.edits) == 2 * resolve(model).n_layers
    else:
        assert found == set(sites.split(", "))
    assert {edit.operation for edit in vector.edits} == set(operations.split(", "))
    positions = [edit.positions for edit in vector.edits if edit.operation != "condition"]
    if name == "actadd":
        assert positions == [f"prompt[{t}]" for t in range(len(positions))]
    else:
        assert set(positions) == {stated.acts_on}


@pytest.mark.parametrize("name", METHODS)
def test_how_a_method_is_scaled(name: str, model: Any, tokenizer: Any, examples: Examples) -> None:
    stated = get(name).conventions.scale
    vector = fitted(name, model, tokenizer, examples)
    norms = [float(edit.tensor.norm()) for edit in vector.edits]
    if stated == "unit":
        assert norms == pytest.approx([1.0] * len(norms), abs=1e-5)
    elif "largest activation" in stated:
        assert norms == pytest.approx([vector.provenance["largest_activation"]], rel=1e-5)
    elif "norm kept" in stated:
        torch.manual_seed(0)
        x, edit = torch.randn(9, 32), vector.edits[0]
        turned = OPERATIONS[edit.operation](x, edit.tensor, 0.8, **edit.parameters)
        torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-4, rtol=1e-4)
        assert not torch.equal(turned, x)
    else:
        assert all(abs(norm - 1) > 1e-3 for norm in norms)


@pytest.mark.parametrize("name", sorted(set(SIGNED)))
def test_the_sign_turns_with_the_labels(
    name: str, model: Any, tokenizer: Any, examples: Examples
) -> None:
    turned = Examples("turned", tuple((y, x) for x, y in examples.pairs), 2, examples.template)
    settings: dict[str, Any] = {"contrast": "pairs", "pairs": None}
    if name == "iti":
        settings["top_heads"] = 12
    one = fitted(name, model, tokenizer, examples, **settings)
    other = fitted(name, model, tokenizer, turned, **settings)
    places = {(edit.layer, edit.head, edit.site, edit.positions): edit for edit in other.edits}
    for edit in one.edits:
        theirs = places[edit.layer, edit.head, edit.site, edit.positions].tensor
        mine = edit.tensor
        if name == "angular":
            mine, theirs = mine[0], theirs[0]
        if name == "icv":  # the mean turns; the component's own sign does not
            one_mean = fitted(name, model, tokenizer, examples, direction="mean", **settings)
            mean = fitted(name, model, tokenizer, turned, direction="mean", **settings)
            mine, theirs = one_mean.edits[0].tensor, mean.edits[0].tensor
        if float(mine.norm()) > 1e-6:
            assert torch.cosine_similarity(mine, theirs, dim=0) < -0.999, name


def naive(model: Any, tokenizer: Any, text: str, read: str) -> torch.Tensor:
    """Hidden states (l + 1, d) of one text at the tokens that a convention names."""
    ids = torch.tensor([tokenizer.encode(text)])
    with torch.no_grad():  # on a copy: hooks that output_hidden_states needs are there to stay
        outputs = copy.deepcopy(model)(ids, output_hidden_states=True)
    states = torch.stack(outputs.hidden_states)[:, 0]
    n = ids.shape[1]
    spans = {
        "last": slice(n - 1, n),
        "one of the last": slice(n - 1, n),
        "letter of the answer": slice(n - 2, n - 1) if text[-1] == ")" else slice(n - 1, n),
        "mean over the answer": slice(0, n),
        "all but the first": slice(min(1, n - 1), n),
    }
    return states[:, spans[read]]


@pytest.mark.parametrize("name", ["caa", "persona", "spherical", "ablation", "diffmean"])
def test_which_tokens_are_read_and_where(
    name: str, model: Any, tokenizer: Any, examples: Examples
) -> None:
    """Against hidden states of one text at a time; every token of DiffMean counts once."""
    stated = get(name).conventions
    layer = 1
    vector = fitted(name, model, tokenizer, examples, contrast="pairs", pairs=None, layer=layer)
    row = layer if stated.read_at == "block_input" else layer + 1
    sides = []
    for side in (1, 0):
        read = [naive(model, tokenizer, pair[side], stated.read_tokens) for pair in examples.pairs]
        if name == "diffmean":
            sides.append(torch.cat([states[row] for states in read]).mean(dim=0))
        else:
            sides.append(torch.stack([states[row].mean(dim=0) for states in read]).mean(dim=0))
    expected = sides[0] - sides[1]
    found = vector.edits[0].tensor
    assert torch.cosine_similarity(found, expected, dim=0) > 0.99999
    if stated.scale in ("none", "unit (add: none)"):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_wrong_answers_are_used_where_examples_carry_them(model: Any, tokenizer: Any) -> None:
    class Choices(Examples):
        contrasts = (("one", ["(A)"], ["(B)"]), ("two", ["(B)"], ["(A)"]))

    template = Template("Q: {{input}}\nA:", "{{output}}")
    choices = Choices("choices", (("one", "(A)"), ("two", "(B)")), 0, template, "Choose.")
    found = fitted("caa", model, tokenizer, choices, layer=1, pairs=None).edits[0].tensor
    texts = ["Q: one\nA: (A)", "Q: two\nA: (B)", "Q: one\nA: (B)", "Q: two\nA: (A)"]
    states = [naive(model, tokenizer, t, "letter of the answer")[2].mean(dim=0) for t in texts]
    torch.testing.assert_close(
        found, (states[0] + states[1] - states[2] - states[3]) / 2, atol=1e-5, rtol=1e-5
    )
    for name in METHODS:
        if hasattr(get(name), "contrast"):
            failed = [
                check
                for check, holds in check_method(
                    get(name).from_settings(QUICK.get(name, {})), model, tokenizer,
                    Choices("c", tuple((q, "(A)") for q in "abcdefgh"), 0, template),
                )
                if not holds and check != "the vector moves the logits"
            ]  # fmt: skip
            assert not failed, name


def test_the_page_of_methods_is_made_from_the_registry() -> None:
    made = table(get(name) for name in METHODS)
    assert made in DOCS.read_text(encoding="utf-8")
