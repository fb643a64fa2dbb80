"""A small random checkpoint of each architecture, over the characters of `tiny`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.harness.tiny import SPECIAL, character_tokenizer

LAYERS, WIDTH, HEADS = 3, 32, 4
LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
NEOX = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
GPT = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 256}
GEMMA = {**LLAMA, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 64}

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

MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neo": (
        "GPTNeoConfig",
        {
            "hidden_size": WIDTH,
            "num_layers": 4,
            "num_heads": HEADS,
            "attention_types": [[["global", "local"], 2]],
            "window_size": 128,
            "max_position_embeddings": 256,
        },
    ),
}
"""Rarer architectures, which fewer tests go through."""


def made(name: str, **more: Any) -> Any:
    """A seeded model of an architecture."""
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
