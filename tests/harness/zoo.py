"""A small random checkpoint of each architecture, over the characters of `tiny`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.harness.rare import MORE
from tests.harness.shapes import GEMMA, GPT, HEADS, LAYERS, LLAMA, NEOX, WIDTH
from tests.harness.tiny import SPECIAL, character_tokenizer

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", GPT),
    "gptj": ("GPTJConfig", {**GPT, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoXConfig", NEOX),
    "llama": ("LlamaConfig", LLAMA),
    "mistral": ("MistralConfig", {**LLAMA, "sliding_window": None}),
    "qwen2": ("Qwen2Config", LLAMA),
    "qwen3": ("Qwen3Config", {**LLAMA, "head_dim": 12}),
    "gemma2": ("Gemma2Config", GEMMA),
    "gemma3": ("Gemma3TextConfig", GEMMA),
    "opt": (
        "OPTConfig",
        {**NEOX, "ffn_dim": 48, "word_embed_proj_dim": WIDTH, "do_layer_norm_before": True},
    ),
    "phi": ("PhiConfig", {**NEOX, "partial_rotary_factor": 0.5}),
    "falcon": ("FalconConfig", {**NEOX, "new_decoder_architecture": False, "multi_query": True}),
    "bloom": ("BloomConfig", {"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS}),
    "mpt": (
        "MptConfig",
        {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "expansion_ratio": 2},
    ),
    "olmo2": ("Olmo2Config", LLAMA),
    "phi3": ("Phi3Config", {**LLAMA, "sliding_window": None}),
    "starcoder2": ("Starcoder2Config", {**LLAMA, "sliding_window": None}),
    "stablelm": ("StableLmConfig", LLAMA),
    "cohere": ("CohereConfig", LLAMA),
    "granite": ("GraniteConfig", LLAMA),
    "gpt_oss": (
        "GptOssConfig",
        {
            **LLAMA,
            "head_dim": 8,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "sliding_window": 64,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        },
    ),
    "mixtral": ("MixtralConfig", {**LLAMA, "num_local_experts": 2, "sliding_window": None}),
}

VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": 28,
    "patch_size": 14,
}
"""A vision tower with as many layers as the language model."""

WRAPPED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gemma3-vision": (
        "Gemma3Config",
        "gemma3",
        {
            "vision_config": VISION,
            "mm_tokens_per_image": 1,
            "boi_token_index": 70,
            "eoi_token_index": 71,
            "image_token_index": 72,
        },
    ),
    "llava": (
        "LlavaConfig",
        "llama",
        {"vision_config": {"model_type": "clip_vision_model", **VISION}, "image_token_id": 72},
    ),
    "mistral3-vision": (
        "Mistral3Config",
        "mistral",
        {"vision_config": {"model_type": "pixtral", **VISION}, "image_token_id": 72},
    ),
}
"""Vision-language models: configuration, language model, and the rest."""


def wrapped(name: str) -> Any:
    """A seeded vision-language model."""
    kind, inner, more = WRAPPED[name]
    text_kind, settings = CONFIGS[inner]
    text = getattr(transformers, text_kind)(
        vocab_size=len(character_tokenizer()), pad_token_id=0, bos_token_id=1, eos_token_id=2,
        **settings,
    )  # fmt: skip
    config = getattr(transformers, kind)(text_config=text, pad_token_id=0, **more)
    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    return model


def made(name: str, **more: Any) -> Any:
    """A seeded model of an architecture."""
    if name in WRAPPED:
        return wrapped(name)
    kind, settings = {**CONFIGS, **MORE}[name]
    config = getattr(transformers, kind)(
        vocab_size=len(character_tokenizer()),
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
        **{**settings, **more},
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    output = model.get_output_embeddings().weight
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # some architectures ignore initializer_range
                parameter.normal_(0, 0.3)
        output[: len(SPECIAL)] = 0  # special tokens are never the greedy choice
    return model


def save(name: str, folder: Path) -> Path:
    """The model and its tokenizer, saved with save_pretrained."""
    made(name).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder
