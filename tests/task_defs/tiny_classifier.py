"""A text classification model that knows nothing."""

from __future__ import annotations

from pathlib import Path


def save_classifier(folder: Path) -> Path:
    """A random BERT of one layer over two words, saved with save_pretrained."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "kind", "rude"]
    tokenizer = BertTokenizerFast(
        vocab={word: i for i, word in enumerate(words)}, model_max_length=16
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
        id2label={0: "unkind", 1: "kind"},
        label2id={"unkind": 0, "kind": 1},
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
