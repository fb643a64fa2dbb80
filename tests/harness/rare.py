"""Small models of rarer architectures: experts, latent attention, hybrids, odd residual streams."""

from __future__ import annotations

from typing import Any

from tests.harness.shapes import GEMMA, GPT, HEADS, LAYERS, LLAMA, NEOX, WIDTH

MOE = {
    **LLAMA,
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "n_routed_experts": 4,
    "num_local_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "sliding_window": None,
}
MLA = {
    **MOE,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "num_key_value_heads": HEADS,
}
MAMBA = {
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
HYBRID = ["linear_attention", "full_attention", "linear_attention"]
GEMMA3N = {
    **GEMMA,
    "num_hidden_layers": 5,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 75,
    "hidden_size_per_layer_input": 8,
    "laurel_rank": 4,
    "activation_sparsity_pattern": [0.0] * 5,
    "layer_types": ["sliding_attention"] * 2
    + ["full_attention"]
    + ["sliding_attention"] * 1
    + ["full_attention"],
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
    "openai-gpt": ("OpenAIGPTConfig", GPT),
    "opt-post-norm": (
        "OPTConfig",
        {**NEOX, "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    ),
    "gpt_bigcode": ("GPTBigCodeConfig", GPT),
    "codegen": ("CodeGenConfig", {**GPT, "rotary_dim": 4, "n_ctx": 256}),
    "ctrl": ("CTRLConfig", {**GPT, "dff": 48}),
    "biogpt": ("BioGptConfig", NEOX),
    "xglm": (
        "XGLMConfig",
        {"d_model": WIDTH, "ffn_dim": 48, "num_layers": LAYERS, "attention_heads": HEADS},
    ),
    "persimmon": ("PersimmonConfig", {**NEOX, "partial_rotary_factor": 0.5}),
    "falcon-new": (
        "FalconConfig",
        {**NEOX, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "falcon-alibi": ("FalconConfig", {**NEOX, "alibi": True, "multi_query": False}),
    "gemma": ("GemmaConfig", {**LLAMA, "head_dim": 12}),
    "gemma3n": ("Gemma3nTextConfig", GEMMA3N),
    "gemma4": (
        "Gemma4TextConfig",
        {
            **GEMMA,
            "num_hidden_layers": 4,
            "global_head_dim": 16,
            "num_kv_shared_layers": 1,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 75,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
    ),
    "olmo": ("OlmoConfig", LLAMA),
    "olmo3": ("Olmo3Config", {**LLAMA, "sliding_window": 64}),
    "olmoe": ("OlmoeConfig", MOE),
    "cohere2": ("Cohere2Config", {**LLAMA, "sliding_window": 64}),
    "granite-multipliers": (
        "GraniteConfig",
        {**LLAMA, "residual_multiplier": 0.22, "embedding_multiplier": 12.0},
    ),
    "granitemoe": ("GraniteMoeConfig", MOE),
    "granitemoeshared": ("GraniteMoeSharedConfig", {**MOE, "shared_intermediate_size": 16}),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        {
            **MOE,
            **MAMBA,
            "shared_intermediate_size": 16,
            "layer_types": ["mamba", "attention", "mamba"],
        },
    ),
    "qwen2_moe": ("Qwen2MoeConfig", {**MOE, "shared_expert_intermediate_size": 16}),
    "qwen3_moe": ("Qwen3MoeConfig", {**MOE, "head_dim": 12}),
    "qwen3_next": (
        "Qwen3NextConfig",
        {
            **MOE,
            **LINEAR,
            "head_dim": 12,
            "shared_expert_intermediate_size": 16,
            "layer_types": HYBRID,
        },
    ),
    "qwen3_5": ("Qwen3_5TextConfig", {**LLAMA, **LINEAR, "head_dim": 12, "layer_types": HYBRID}),
    "deepseek_v2": ("DeepseekV2Config", MLA),
    "deepseek_v3": ("DeepseekV3Config", MLA),
    "glm": ("GlmConfig", {**LLAMA, "head_dim": 8}),
    "glm4": ("Glm4Config", {**LLAMA, "head_dim": 8}),
    "glm4_moe": ("Glm4MoeConfig", {**MOE, "head_dim": 8}),
    "smollm3": ("SmolLM3Config", LLAMA),
    "exaone4": ("Exaone4Config", {**LLAMA, "sliding_window": 64}),
    "ernie4_5": ("Ernie4_5Config", {**LLAMA, "head_dim": 8}),
    "helium": ("HeliumConfig", {**LLAMA, "head_dim": 8}),
    "nemotron": ("NemotronConfig", LLAMA),
    "seed_oss": ("SeedOssConfig", {**LLAMA, "head_dim": 8}),
    "arcee": ("ArceeConfig", LLAMA),
    "apertus": ("ApertusConfig", LLAMA),
    "bitnet": ("BitNetConfig", LLAMA),
    "diffllama": ("DiffLlamaConfig", LLAMA),
    "dbrx": (
        "DbrxConfig",
        {
            "d_model": WIDTH,
            "n_heads": HEADS,
            "n_layers": LAYERS,
            "max_seq_len": 256,
            "attn_config": {"clip_qkv": 8.0, "kv_n_heads": 2, "rope_theta": 1e4},
            "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 2, "moe_top_k": 1},
        },
    ),
    "minimax": (
        "MiniMaxConfig",
        {
            **MOE,
            "head_dim": 8,
            "block_size": 8,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        },
    ),
    "phimoe": ("PhimoeConfig", MOE),
    "llama4": (
        "Llama4TextConfig",
        {
            **MOE,
            "head_dim": 8,
            "intermediate_size_mlp": 48,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 64,
        },
    ),
    "afmoe": (
        "AfmoeConfig",
        {**MOE, "head_dim": 8, "num_dense_layers": 1, "sliding_window": 64},
    ),
    "falcon_h1": ("FalconH1Config", {**LLAMA, **MAMBA, "head_dim": 8, "mamba_d_ssm": 64}),
    "bamba": ("BambaConfig", {**LLAMA, **MAMBA, "attn_layer_indices": [1]}),
    "jamba": (
        "JambaConfig",
        {
            **MOE,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "use_mamba_kernels": False,
        },
    ),
    "lfm2": (
        "Lfm2Config",
        {**LLAMA, "layer_types": ["conv", "full_attention", "conv"], "block_ff_dim": 48},
    ),
    "olmo_hybrid": (
        "OlmoHybridConfig",
        {**LLAMA, **LINEAR, "layer_types": HYBRID},
    ),
    "nemotron_h": (
        "NemotronHConfig",
        {
            **LLAMA,
            "head_dim": 8,
            "num_hidden_layers": 4,
            "layers_block_type": ["mamba", "attention", "mlp", "mlp"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 8,
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        {**LLAMA, "head_dim": 8, "lru_width": WIDTH, "attention_window_size": 64},
    ),
    "zamba2": (
        "Zamba2Config",
        {
            **LLAMA,
            **MAMBA,
            "num_key_value_heads": HEADS,
            "mamba_ngroups": 1,
            "n_mamba_heads": 4,
            "mamba_headdim": 16,
            "chunk_size": 8,
            "num_mem_blocks": 1,
            "layer_types": ["mamba", "hybrid", "mamba"],
            "hybrid_layer_ids": [1],
            "use_mamba_kernels": False,
        },
    ),
    "mamba": (
        "MambaConfig",
        {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "state_size": 4},
    ),
    "rwkv": (
        "RwkvConfig",
        {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "attention_hidden_size": WIDTH},
    ),
    "vaultgemma": ("VaultGemmaConfig", GEMMA),
    "nanochat": ("NanoChatConfig", {**LLAMA, "num_key_value_heads": HEADS}),
    "hunyuan_v1_dense": ("HunYuanDenseV1Config", {**LLAMA, "head_dim": 8}),
    "dots1": ("Dots1Config", {**MOE, "n_shared_experts": 1}),
    "minimax_m2": ("MiniMaxM2Config", {**MOE, "head_dim": 8}),
    "modernbert-decoder": (
        "ModernBertDecoderConfig",
        {**NEOX, "local_attention": 64},
    ),
}
"""Rarer architectures, which fewer tests go through."""
