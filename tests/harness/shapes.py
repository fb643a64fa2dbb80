"""Settings that small models of most architectures share."""

from __future__ import annotations

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
