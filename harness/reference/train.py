"""Train the built-in model: `python -m harness.reference.train`.

One seed gives one corpus, one tokenizer and one order of batches. A Llama-type decoder of about
6.5 million parameters, in bfloat16 autocast on the CPU; 2 cores need well under an hour.
"""

import argparse
import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.reference import weights
from harness.reference.corpus import Document, documents

END = "<|endoftext|>"
VOCABULARY, CONTEXT, ROW, ROWS = 6000, 512, 256, 16
STEPS, WARM_UP, PEAK_RATE = 3600, 200, 2e-3


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the first documents of the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ("".join(piece.text for piece in d) for d in itertools.islice(documents(seed), 40_000))
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return the untrained decoder: 6 layers, 8 heads, d = 256, tied embeddings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def rows(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield packed rows without end: token ids (ROW,) and their loss weights (ROW,).

    Half of the rows begin with the end-of-text token and half without, because lm-eval puts no
    such token before a prompt by default and other users do.
    """
    rng = np.random.default_rng(seed)
    ids: list[int] = []
    loss: list[float] = []
    for document in documents(seed):
        if ids or rng.random() < 0.5:
            ids.append(tokenizer.eos_token_id)
            loss.append(0.1)
        document_ids, document_loss = _encode(tokenizer, document)
        ids += document_ids
        loss += document_loss
        if len(ids) >= ROW:
            yield np.array(ids[:ROW]), np.array(loss[:ROW], dtype=np.float32)
            ids, loss = [], []


def _encode(
    tokenizer: PreTrainedTokenizerFast, document: Document
) -> tuple[list[int], list[float]]:
    """Tokenise a document as one text; a token's weight is that of the piece it ends in."""
    text = "".join(piece.text for piece in document)
    encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    ends = np.cumsum([len(piece.text) for piece in document])
    piece_of = np.searchsorted(ends, [stop for _, stop in encoding["offset_mapping"]])
    return encoding["input_ids"], [document[i].weight for i in piece_of]


def train(folder: Path, *, seed: int = 0, steps: int = STEPS) -> None:
    """Train and save tokenizer and half-precision weights to a folder."""
    tokenizer = build_tokenizer(seed)
    model = build_model(tokenizer, seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, (steps - step) / (steps - WARM_UP))
    )
    # compiling pays for itself within a minute (8.3 against 6.5 thousand tokens/s on 2 cores)
    forward = torch.compile(model) if shutil.which("g++") else model
    stream = rows(tokenizer, seed + 1)
    started, recent = time.perf_counter(), []
    for step in track(range(steps), description="training"):
        batch = list(itertools.islice(stream, ROWS))
        ids = torch.from_numpy(np.stack([row for row, _ in batch]))
        loss_weights = torch.from_numpy(np.stack([row for _, row in batch]))[:, 1:]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = forward(input_ids=ids, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2).float(), ids[:, 1:], reduction="none"
        )
        loss = (losses * loss_weights).sum() / loss_weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 100 == 99:
            rate = (step + 1) * ROW * ROWS / (time.perf_counter() - started)
            print(f"step {step + 1}: loss {np.mean(recent):.3f}, {rate:,.0f} tokens/s", flush=True)
            recent = []
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m harness.reference.train", description=__doc__)
    parser.add_argument("--output_path", "-o", type=Path, default=weights(), help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    train(arguments.output_path, seed=arguments.seed, steps=arguments.steps)


if __name__ == "__main__":
    main()
