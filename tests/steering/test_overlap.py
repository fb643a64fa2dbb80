"""Vectors on one model that overlap in time: nested, interleaved, in several threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest
import torch

from steering import (
    BadVector,
    Edit,
    SteeringVector,
    last_token_hidden_states,
    mean_head_activations,
    resolve,
)
from steering.hooks import watching
from steering.tracing import before_call
from tests.harness.tiny import WIDTH

PROMPT = torch.tensor([[5, 11, 6, 3, 8]])
STEPS = 12


def vector(seed: int, layer: int = 1, positions: str = "generated") -> SteeringVector:
    tensor = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))
    return SteeringVector((Edit("block_output", layer, "add", tensor, positions),), 3.0)


def written(model: Any, **more: Any) -> list[int]:
    out: list[int] = model.generate(
        PROMPT, attention_mask=torch.ones_like(PROMPT), do_sample=False, max_new_tokens=STEPS,
        eos_token_id=-1, **more,
    )[0].tolist()  # fmt: skip
    return out


def naive(model: Any, vectors: list[SteeringVector]) -> list[int]:
    """Greedy decoding without a cache; the sums are added to the block by a hook of its own."""
    ids = PROMPT[0].tolist()
    for _ in range(STEPS):

        def add(layer: int, *_: Any) -> Callable[..., Any]:
            def hook(_module: Any, _given: Any, output: Any) -> Any:
                x = (output[0] if isinstance(output, tuple) else output).clone()
                for each in vectors:
                    edit = each.edits[0]
                    start = {"generated": PROMPT.shape[1], "all": 0}[edit.positions]
                    if edit.layer == layer:
                        x[:, start:] += each.coefficient * edit.tensor
                return (x, *output[1:]) if isinstance(output, tuple) else x

            return hook

        handles = [b.register_forward_hook(add(i)) for i, b in enumerate(model.model.layers)]
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits
        for handle in handles:
            handle.remove()
        ids.append(int(logits[0, -1].argmax()))
    return ids


def assert_untouched(model: Any) -> None:
    assert "generate" not in vars(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("cache", [True, False])
def test_nested_blocks_add_up(model: Any, cache: bool) -> None:
    one, other = vector(1), vector(2, layer=0)
    with one.attached(model):
        with other.attached(model):
            both = written(model, use_cache=cache)
        alone = written(model, use_cache=cache)
    assert both == naive(model, [one, other])
    assert alone == naive(model, [one])
    assert_untouched(model)


@pytest.mark.parametrize("cache", [True, False])
def test_blocks_left_in_another_order_than_entered(model: Any, cache: bool) -> None:
    plain = written(model, use_cache=cache)
    one, other, third = vector(1), vector(2, layer=0), vector(3, positions="all")
    expected = naive(model, [other, third]), naive(model, [other])
    blocks = [each.attached(model) for each in (one, other, third)]
    for block in blocks:
        block.__enter__()
    blocks[0].__exit__(None, None, None)
    assert written(model, use_cache=cache) == expected[0]
    blocks[2].__exit__(None, None, None)
    assert written(model, use_cache=cache) == expected[1]
    blocks[1].__exit__(None, None, None)
    assert_untouched(model)
    assert written(model, use_cache=cache) == plain


def test_a_generate_of_the_models_own_is_put_back(model: Any) -> None:
    def own(*_args: Any, **_kwargs: Any) -> str:
        return "own"

    model.generate = own
    try:
        with vector(1).attached(model), vector(2).attached(model):
            assert model.generate(PROMPT) == "own"
        assert vars(model)["generate"] is own
    finally:
        del model.generate


def test_threads_with_vectors_of_their_own(model: Any) -> None:
    vectors = [vector(seed, layer=seed % 3) for seed in range(4)]
    expected = [naive(model, [each]) for each in vectors]
    begun = threading.Barrier(len(vectors))

    def work(own: SteeringVector) -> list[list[int]]:
        with own.attached(model) as attachment:
            begun.wait()
            found = [written(model, use_cache=i % 2 == 0) for i in range(4)]
            assert attachment.calls == 4 * (STEPS - 1)
            return found

    with ThreadPoolExecutor(len(vectors)) as pool:
        found = list(pool.map(work, vectors))
    assert found == [[each] * 4 for each in expected]
    assert_untouched(model)


@pytest.mark.parametrize("steered", [False, True])
def test_a_vector_that_comes_while_another_threads_pass_runs(model: Any, steered: bool) -> None:
    inputs = torch.tensor([[5, 6, 7]])

    def logits() -> torch.Tensor:
        with vector(1, 0, "all").attached(model) if steered else nullcontext():
            found: torch.Tensor = model(inputs).logits
            return found

    expected = logits()
    with ThreadPoolExecutor(1) as pool, ExitStack() as held:

        def come(*_: object) -> None:
            coming = vector(2, 2, "all").attached(model)
            pool.submit(held.enter_context, coming).result()

        handle = resolve(model).blocks[1].register_forward_pre_hook(come)
        try:
            assert torch.equal(logits(), expected)
        finally:
            handle.remove()
            pool.submit(held.close).result()
    assert_untouched(model)


def test_threads_that_attach_again_and_again(model: Any) -> None:
    vectors = [vector(seed, seed, "all") for seed in range(2)]
    inputs = torch.tensor([[5, 6, 7]])

    def logits(number: int) -> torch.Tensor:
        with vectors[number % 2].attached(model):
            found: torch.Tensor = model(inputs).logits
            return found

    expected = [logits(number) for number in range(2)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(logits, range(60)))
    assert all(torch.equal(each, expected[number % 2]) for number, each in enumerate(found))


def test_tasks_of_an_event_loop_with_vectors_of_their_own(model: Any) -> None:
    vectors = [vector(seed, seed, "all") for seed in range(3)]
    inputs = torch.tensor([[5, 6, 7]])

    async def asked(number: int) -> list[torch.Tensor]:
        found = []
        with vectors[number].attached(model):
            for _ in range(3):
                await asyncio.sleep(0)
                found.append(model(inputs).logits)
        return found

    async def together() -> list[list[torch.Tensor]]:
        return await asyncio.gather(*map(asked, range(3)))

    expected = [asyncio.run(asked(number)) for number in range(3)]
    for own, alone in zip(asyncio.run(together()), expected, strict=True):
        assert all(map(torch.equal, own, alone))
    with vectors[0].attached(model):  # and one that was there before the loop steers in it
        (inside,) = asyncio.run(_once(lambda: model(inputs).logits))
    assert torch.equal(inside, expected[0][0])
    assert_untouched(model)


async def _once(ask: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    return [ask()]


def test_a_worker_thread_is_steered_by_the_one_vector(model: Any) -> None:
    expected = naive(model, [vector(1)])
    with vector(1).attached(model), ThreadPoolExecutor(1) as pool:
        assert pool.submit(written, model).result() == expected


def test_whose_vector_a_third_thread_means_is_not_guessed(model: Any) -> None:
    entered, asked = threading.Event(), threading.Event()

    def hold() -> None:
        with vector(2).attached(model):
            entered.set()
            asked.wait()

    with vector(1).attached(model), ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold)
        entered.wait()
        try:
            with pytest.raises(BadVector, match="2 threads steer this model") as caught:
                pool.submit(written, model).result()
        finally:
            asked.set()
        holding.result()
    assert "\n" not in str(caught.value)
    assert_untouched(model)


def test_a_fit_beside_a_generation(model: Any, tokenizer: Any) -> None:
    """Two threads read and a third one writes: none of them meets the hooks of another."""
    texts = [["hot", "cold day"], ["a", "much longer text"]]
    states = [last_token_hidden_states(model, tokenizer, each) for each in texts]
    heads = [mean_head_activations(model, tokenizer, each) for each in texts]
    plain = written(model)
    begun = threading.Barrier(3)

    def read(number: int) -> None:
        begun.wait()
        for _ in range(20):
            found = last_token_hidden_states(model, tokenizer, texts[number])
            assert torch.equal(found, states[number])
            assert torch.equal(
                mean_head_activations(model, tokenizer, texts[number]), heads[number]
            )

    def write() -> None:
        begun.wait()
        for _ in range(5):
            assert written(model) == plain

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(read, 0), pool.submit(read, 1), pool.submit(write)]:
            each.result()


def test_a_hook_that_is_removed_while_a_pass_runs_does_nothing_in_it() -> None:
    module, seen = torch.nn.Linear(2, 2), list[int]()
    module.register_forward_pre_hook(lambda *_: handle.remove())
    handle = before_call(module, lambda *_: seen.append(1))
    module(torch.zeros(1, 2))
    assert not seen


def test_watching_alone_leaves_nothing(model: Any) -> None:
    passes: list[Any] = []
    with watching(model, passes.append):
        written(model)
    assert [each.past for each in passes] == [0, *range(5, 5 + STEPS - 1)]
    assert {each.prompt_width for each in passes} == {5}
    assert_untouched(model)
