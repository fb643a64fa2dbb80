"""The first row of hidden states is what the embedding module writes, as the reference reads it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.decomposition import PCA
from transformers import AutoModelForCausalLM, AutoTokenizer

from steering import InContextVector, last_token_hidden_states
from task_defs import Examples
from tests.harness.zoo import save

TEXTS = ["hot", "a longer text", "x"]
LEARNED = ("gpt2", "opt", "gpt_neo")


@pytest.fixture(scope="module", params=[*LEARNED, "llama", "bloom"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save(request.param, Path(tmp_path_factory.mktemp(request.param)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return request.param, model, AutoTokenizer.from_pretrained(folder)


def states(model: Any, tokenizer: Any, text: str) -> torch.Tensor:
    """(l + 1, d) at the last token: the embedding table's row, then transformers' own states."""
    ids = tokenizer.encode(text)
    captured: list[torch.Tensor] = []
    block = model.get_decoder()
    blocks = getattr(block, "layers", None) or block.h
    handles = [
        each.register_forward_hook(
            lambda _m, _i, out: captured.append(out[0] if isinstance(out, tuple) else out)
        )
        for each in blocks
    ]
    with torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    table = model.get_input_embeddings().weight.detach()
    return torch.stack([table[ids[-1]], *(x[0, -1] for x in captured)])


def test_rows_are_the_table_and_the_blocks(loaded: Any) -> None:
    name, model, tokenizer = loaded
    found = last_token_hidden_states(model, tokenizer, TEXTS)
    expected = torch.stack([states(model, tokenizer, text) for text in TEXTS])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        ids = torch.tensor([tokenizer.encode(TEXTS[1])])
        first = model(ids, output_hidden_states=True, use_cache=False).hidden_states[0][0, -1]
    assert torch.allclose(first, expected[1, 0], atol=1e-5) == (name == "llama")


def test_icv_is_the_references_pca_of_them(loaded: Any, examples: Examples) -> None:
    _, model, tokenizer = loaded
    vector = InContextVector(pairs=None).fit(model, tokenizer, examples)
    pairs = list(examples.pairs)
    chosen = random.Random("icv 0").sample(pairs, len(pairs))
    differences = torch.stack(
        [states(model, tokenizer, y) - states(model, tokenizer, x) for x, y in chosen]
    )
    flat = differences.flatten(1).double()
    component = torch.tensor(PCA(n_components=1, svd_solver="full").fit(flat.numpy()).components_)
    # the reference's svd_flip follows the scores: the largest one is positive
    scores = (flat - flat.mean(dim=0)) @ component[0]
    component = component[0] * torch.sign(scores[scores.abs().argmax()])
    expected = (component + flat.mean(dim=0)).view(differences.shape[1:])[1:].float()
    found = torch.stack([edit.tensor for edit in vector.edits])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
