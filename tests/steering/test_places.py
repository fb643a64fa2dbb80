"""Places by what they are: hybrids, gates, widths of their own, wrappers, windows, odd weights."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from typing import Any

import pytest
import torch
from torch import nn

from steering import (
    BadVector,
    Edit,
    FunctionVector,
    InContextVector,
    SteeringVector,
    UnsupportedModel,
    check_sites,
    indirect_effects,
    mean_head_activations,
    resolve,
    sites,
)
from steering.effects import PATHS
from task_defs import Examples
from tests.harness.zoo import HEADS, WIDTH, made

PROMPTS = ("Q: a\nA:", "Q: hot and cold\nA:", "x")


def named(model: nn.Module, module: nn.Module | None) -> str:
    return {each: name for name, each in model.named_modules()}[module] if module else "-"


PLACES = {
    "afmoe": (["self_attn.o_proj"] * 3, ["mlp"] * 3),
    "falcon_h1": (["self_attn.o_proj"] * 3, ["feed_forward"] * 3),
    "lfm2": (["-", "self_attn.out_proj", "-"], ["feed_forward"] * 3),
    "jamba": (["-", "self_attn.o_proj", "-"], ["feed_forward"] * 3),
    "qwen3_next": (["-", "self_attn.o_proj", "-"], ["mlp"] * 3),
    "nemotron_h": (["-", "mixer.o_proj", "-", "-"], ["-", "-", "mixer", "mixer"]),
    "gemma4": (["self_attn.o_proj"] * 4, ["mlp"] * 4),
    "openai-gpt": (["attn.c_proj"] * 3, ["mlp"] * 3),
    "granitemoeshared": (["self_attn.o_proj"] * 3, ["-"] * 3),
    "bloom": (["self_attention.dense"] * 3, ["mlp.dense_4h_to_h"] * 3),
}


@pytest.mark.parametrize("name", PLACES)
def test_what_is_found(name: str) -> None:
    model = made(name)
    layout = resolve(model)
    projections = [
        named(block, place) for block, place in zip(layout.blocks, layout.projections, strict=True)
    ]
    mlps = [named(block, place) for block, place in zip(layout.blocks, layout.mlps, strict=True)]
    assert (projections, mlps) == PLACES[name]


@pytest.mark.parametrize("name", ["llama", "gemma4", "lfm2", "openai-gpt", "bloom"])
def test_at_most_five_passes_of_three_tokens(name: str) -> None:
    model = made(name)
    widths: list[int] = []
    inner = model.get_decoder() if name != "openai-gpt" else model.transformer
    inner.register_forward_pre_hook(
        lambda _m, args, kwargs: widths.append((args[0] if args else kwargs["input_ids"]).shape[1]),
        with_kwargs=True,
    )
    check_sites(model)
    assert len(widths) <= 5
    assert max(widths) == 3
    check_sites(model)
    assert len(widths) <= 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("granite-multipliers", "x + 0.22 attention + 0.22 mlp"),
        ("gemma2", "x + norm(attention) + norm(mlp)"),
        ("openai-gpt", "norm(norm(x + attention) + mlp)"),
        ("falcon_h1", "x + attention + mamba + feed_forward"),
        ("gptj", "x + attention + mlp"),
    ],
)
def test_the_residual_stream_is_said(name: str, said: str) -> None:
    assert set(resolve(made(name)).residuals) == {said}


def wrong(model: Any, **changed: Any) -> None:
    """Resolve a model and put something else into its layout."""
    sites._layouts[model] = dataclasses.replace(resolve(model), **changed)


@pytest.mark.parametrize("name", ["afmoe", "qwen3", "gpt_neo"])
def test_another_linear_map_is_no_output_projection(name: str) -> None:
    model = made(name)
    layout = resolve(model)
    other = {"afmoe": "self_attn.gate_proj", "qwen3": "self_attn.o_proj"}.get(
        name, "attn.attention.q_proj"
    )
    if name == "qwen3":  # slices of the right map, cut at the wrong places
        model_layout = {"n_heads": HEADS // 2, "head_dims": (24,) * 3}
        wrong(model, **model_layout)
    else:
        wrong(model, projections=tuple(b.get_submodule(other) for b in layout.blocks))
    with pytest.raises(UnsupportedModel, match=r"attention of layer|runs in another way"):
        check_sites(model)


def test_heads_in_pairs_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="does not move its slice") as caught:
        check_sites(made("diffllama"))
    assert "\n" not in str(caught.value)


class Leaking(nn.Module):
    """A block that adds something of its own to the residual stream."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return self.inner(x, *args, **kwargs) + x.square()


@pytest.mark.parametrize("layer", [0, 2])
def test_a_block_that_is_not_accounted_for_is_refused(layer: int) -> None:
    model = made("llama")
    model.model.layers[layer] = Leaking(model.model.layers[layer])
    with pytest.raises(UnsupportedModel, match=f"block {layer} .*do not account for"):
        resolve(model)


@pytest.mark.parametrize("name", ["gemma4", "lfm2", "falcon_h1"])
def test_what_heads_write_sums_to_the_projection(name: str) -> None:
    layout = resolve(made(name))
    for layer in layout.layers("head_output"):
        projection: Any = layout.module("attn_output", layer)
        x = torch.randn(projection.in_features)
        parts = [
            layout.project(layer, head, layout.split_heads(x, layer)[head])
            for head in range(layout.n_heads)
        ]
        with torch.no_grad():
            expected = projection(x)
        torch.testing.assert_close(torch.stack(parts).sum(0), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gemma4", "lfm2", "qwen3_next"])
def test_means_and_effects_where_layers_differ(name: str, tokenizer: Any) -> None:
    model = made(name)
    layout = resolve(model)
    means = mean_head_activations(model, tokenizer, PROMPTS)
    answers = [" b", " c", "d"]
    effects = indirect_effects(model, tokenizer, PROMPTS, answers, means)
    for layer in range(layout.n_layers):
        block = layout.blocks[layer]
        place = getattr(getattr(block, "self_attn", None), "o_proj", None)
        place = place or getattr(getattr(block, "self_attn", None), "out_proj", None)
        if place is None:
            assert not means[layer].any()
            assert not effects.values[:, layer].any()
            continue
        size = place.in_features // HEADS
        rows, moved = [], torch.zeros(len(PROMPTS), HEADS)
        for i, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
            asked = tokenizer.encode(prompt)
            wanted = tokenizer.encode(prompt + answer)[len(asked)]

            def probability(head: int | None, kept: list[Any], asked: Any = asked,
                            wanted: int = wanted, place: Any = place, layer: int = layer,
                            size: int = size) -> float:  # fmt: skip
                def hook(_m: Any, inputs: Any) -> Any:
                    x = inputs[0].clone()
                    kept.append(x[0, -1].clone())
                    if head is not None:
                        own = slice(head * size, (head + 1) * size)
                        x[0, -1, own] = means[layer, head, :size]
                    return (x,)

                handle = place.register_forward_pre_hook(hook)
                with torch.no_grad():
                    logits = model(torch.tensor([asked]), use_cache=False).logits[0, -1]
                handle.remove()
                return float(logits.softmax(-1)[wanted])

            kept: list[Any] = []
            plain = probability(None, kept)
            rows.append(kept[0])
            moved[i] = torch.tensor([probability(h, []) - plain for h in range(HEADS)])
        expected = torch.stack(rows).mean(0).view(HEADS, size)
        torch.testing.assert_close(means[layer, :, :size], expected, atol=1e-5, rtol=1e-5)
        assert not means[layer, :, size:].any()
        torch.testing.assert_close(effects.values[:, layer], moved, atol=2e-6, rtol=1e-4)


def test_a_hybrid_is_refused_where_it_has_no_heads() -> None:
    model = made("lfm2")
    edit = Edit("head_output", 0, "add", torch.ones(8), head=1)
    with (
        pytest.raises(BadVector, match=r"layer 0 has no head_output .*have one: 1") as caught,
        SteeringVector((edit,)).attached(model),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_icv_where_the_mlp_is_two_modules(tokenizer: Any, examples: Examples) -> None:
    with pytest.raises(UnsupportedModel, match="no layer has an MLP of one module"):
        InContextVector().fit(made("granitemoeshared"), tokenizer, examples)


def test_icv_edits_the_layers_that_have_an_mlp(tokenizer: Any, examples: Examples) -> None:
    vector = InContextVector(pairs=6).fit(made("nemotron_h"), tokenizer, examples)
    assert vector.layers == (2, 3)


def test_function_vectors_come_from_the_layers_with_heads(
    tokenizer: Any, examples: Examples
) -> None:
    method = FunctionVector(mean_prompts=4, effect_prompts=2, top_heads=9)
    vector = method.fit(made("jamba"), tokenizer, examples)
    assert sorted(map(tuple, vector.provenance["heads"])) == [(1, head) for head in range(HEADS)]
    assert vector.provenance["effects_path"] == "naive"  # its cache cannot be repeated


@pytest.mark.parametrize("name", ["gemma3-vision", "llava", "mistral3-vision"])
@pytest.mark.parametrize("positions", ["last_prompt", "continuation", "all"])
def test_wrappers_steer_the_last_real_token_of_padded_rows(name: str, positions: str) -> None:
    model = made(name)
    check_sites(model)
    assert resolve(model).decoder is model.get_decoder()
    noise = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    vector = SteeringVector((Edit("block_output", 1, "add", noise, positions),), 2.0)
    texts = [[5, 9, 13, 7], [8, 6]]
    ids = torch.tensor([texts[0], [*texts[1], 0, 0]])
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad(), vector.attached(model):
        together = model(input_ids=ids, attention_mask=real, use_cache=False).logits
        for row, text in enumerate(texts):
            alone = model(input_ids=torch.tensor([text]), use_cache=False).logits[0]
            torch.testing.assert_close(together[row, : len(text)], alone, atol=2e-5, rtol=1e-4)
    with torch.no_grad():
        plain = model(input_ids=ids, attention_mask=real, use_cache=False).logits
    assert (plain - together)[1, 1].abs().max() > 1e-3


def test_masks_by_kind_of_layer_without_the_whole_model_are_refused() -> None:
    model = made("gemma3-vision")
    masks = {"full_attention": None, "sliding_attention": None}
    vector = SteeringVector((Edit("block_output", 1, "add", torch.ones(WIDTH), "last_prompt"),))
    with vector.attached(model), pytest.raises(BadVector, match="give attention_mask"):
        model.get_decoder()(input_ids=torch.tensor([[5, 6]]), attention_mask=masks)


@pytest.mark.parametrize(
    ("name", "settings", "windows"),
    [
        ("qwen2", {"use_sliding_window": False, "sliding_window": 4}, (None, None, None)),
        ("mistral", {"sliding_window": 0}, (None, None, None)),
        ("mistral", {"sliding_window": 4}, (4, 4, 4)),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
         (None, 4, 4)),
        ("gemma2", {"sliding_window": 5}, (5, None, 5)),
        ("gemma4", {"sliding_window": 6}, (6, None, 6, None)),
    ],
)  # fmt: skip
def test_windows(name: str, settings: dict[str, Any], windows: tuple[int | None, ...]) -> None:
    if settings.get("sliding_window") == 0:  # transformers itself attends to nothing at 0
        model = made(name)
        model.config.sliding_window = 0
        assert sites._window(None, model.config) is None
        return
    assert resolve(made(name, **settings)).windows == windows


def test_a_path_that_cannot_repeat_its_cache_is_not_taken(tokenizer: Any) -> None:
    """The cached path raises on a hybrid; `auto` falls back to plain passes, and says so."""
    model = made("falcon_h1")
    means = torch.zeros(3, HEADS, 8)
    asked = [tokenizer.encode(prompt) for prompt in PROMPTS[:2]]
    with pytest.raises(RuntimeError, match="must match"):
        PATHS["cached_prefix"](model, asked, [[5], [6]], resolve(model).heads, means)
    found = indirect_effects(model, tokenizer, PROMPTS[:2], [" a", " b"], means)
    assert found.path == "naive"


def test_resolving_leaves_no_hook_and_changes_nothing() -> None:
    model = made("qwen2")
    before = {name: value.clone() for name, value in copy.deepcopy(model).state_dict().items()}
    check_sites(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "generate" not in vars(model)
    assert inspect.ismethod(model.generate)
