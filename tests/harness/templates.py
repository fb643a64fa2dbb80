"""Minimal equivalents of the chat templates in use, and tokenizers that merge blanks as real ones.

Each ends its prompts as the model family does: in a newline (ChatML, Gemma, Phi-3), in two
(Llama-3) or in no white space (Mistral); Gemma, Mistral and `bare` know no system role.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

MARKS = (
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|system|>", "<|assistant|>", "<|end|>",
    "[INST]", "[/INST]",
)  # fmt: skip
REFUSED = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
)

TEMPLATES = {
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "llama-3": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}"
        "<|end_header_id|>\n\n{{ m['content'] }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "gemma": (
        f"{{{{ bos_token }}}}{REFUSED}{{% for m in messages %}}<start_of_turn>"
        "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] }}<end_of_turn>"
        "\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "phi-3": (
        "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    "mistral": (
        f"{{{{ bos_token }}}}{REFUSED}{{% for m in messages %}}{{% if m['role'] == 'user' %}}"
        "[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    "bare": (
        f"{REFUSED}{{% for m in messages %}}{{{{ m['role'] }}}}: {{{{ m['content'] }}}}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    ),
}


def tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    """Printable characters; a blank before a letter, two newlines and `qu` are one token each.

    Args:
        template: Key of TEMPLATES. Phi-3's marks take the white space after them away, Llama-3
            keeps newlines together before a word; the others split as GPT-2 does.
    """
    to_byte = {chr(i): mark for i, mark in enumerate(_byte_alphabet())}
    letters = string.ascii_letters
    merges = [(to_byte[" "], letter) for letter in letters] + [(to_byte["\n"], to_byte["\n"])]
    merges.append(("q", "u"))
    single = [to_byte[sign] for sign in (*letters, *string.digits, *string.punctuation, " ", "\n")]
    words = ["<pad>", "<s>", "</s>", *single, *map("".join, merges)]
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if template == "llama-3":
        newlines = pre_tokenizers.Split(Regex(r"\s*[\r\n]+| ?[^\s]+|\s+(?!\S)|\s+"), "isolated")
        whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([newlines, whole])
    backend.decoder = ByteLevel()
    strips = template == "phi-3"
    backend.add_special_tokens([AddedToken(mark, rstrip=strips) for mark in MARKS])
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    made.chat_template = TEMPLATES.get(template or "")
    return made


def _byte_alphabet() -> list[str]:
    """How byte-level tokenizers write the first 128 bytes."""
    shift = {i: chr(256 + n) for n, i in enumerate(i for i in range(256) if not _plain(i))}
    return [shift.get(i, chr(i)) for i in range(128)]


def _plain(byte: int) -> bool:
    return 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255


def save(folder: Path, template: str | None = None, length: int = 512) -> Path:
    """A seeded Llama that never writes a special token, and its tokenizer."""
    tokens = tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=length,
        initializer_range=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    special = tokens.all_special_ids + [tokens.convert_tokens_to_ids(mark) for mark in MARKS]
    with torch.no_grad():
        model.lm_head.weight[special] = 0
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder
