"""lm-eval's own tasks on files of one's own: numbers, parts, wordings, beside lm-eval itself."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.errors import UsageError
from harness.lm.adapter import SteeredLM
from harness.lm.loading import load
from harness.lm.wording import PLAIN, Worded, Wording
from harness.measuring.library import fresh
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm

WORDS = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st", "uv", "wx", "yz"]


def text(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def truth(i: int) -> dict[str, Any]:
    one = {text(i, 2): 1, text(i + 100, 3): 0, f"no {i}": 0}
    return {"question": text(i + 200, 4), "mc1_targets": one,
            "mc2_targets": {**one, f"yes {i}": 1}}  # fmt: skip


def files(folder: Path) -> dict[str, Path]:
    """Small files of each task's own form."""
    sums = [
        {"question": f"{i} and {i + 1}?", "answer": f"They make\n#### {2 * i + 1}"}
        for i in range(30)
    ]
    pages = [{"page": f" = {text(i, 2)} = \n {text(i + 50, 20 + i)} "} for i in range(12)]
    dates = [{"input": f"Which day is {i}? (A) {i} (B) {i + 1}", "target": "(A)"}
             for i in range(20)]  # fmt: skip
    content = {
        "mc.json": [truth(i) for i in range(24)],
        "sums/train.jsonl": sums[:20],
        "sums/test.jsonl": sums[20:],
        "pages.json": pages,
        "dates.json": {"canary": "none", "examples": dates},
    }
    (folder / "sums").mkdir()
    for name, rows in content.items():
        lines = "\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
        (folder / name).write_text(lines)
    return {
        "truthfulqa_mc1": folder / "mc.json",
        "truthfulqa_mc2": folder / "mc.json",
        "gsm8k": folder / "sums",
        "wikitext": folder / "pages.json",
        "bbh_zeroshot_date_understanding": folder / "dates.json",
    }


NAMES = ("truthfulqa_mc1", "truthfulqa_mc2", "gsm8k", "wikitext",
         "bbh_zeroshot_date_understanding")  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    own = files(tmp_path_factory.mktemp("files"))
    found = Sources(datasets=tuple(f"{name}={path}" for name, path in own.items()))
    assert found.select(None, ",".join(NAMES)) == NAMES
    return found


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> SteeredLM:
    from tests.harness.tiny import save_checkpoint

    folder = save_checkpoint(tmp_path_factory.mktemp("long"), positions=1024)
    return load("hf", {"pretrained": str(folder), "dtype": "float32"}, batch_size=4)


@pytest.fixture
def session(lm: SteeredLM, sources: Sources) -> Session:
    return Session(lm, "hf", {}, sources, gen_kwargs={"max_gen_toks": 12})


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_arm_is_lm_evals_own_process_results(
    session: Session, lm: SteeredLM, name: str
) -> None:
    arm = Arm("zero_shot")
    task = session.task(session.spec(name, arm), arm)
    measured = session.measure({name: task}, {})[name]
    plain = HFLM(lm.model, tokenizer=lm.tokenizer, batch_size=4, device="cpu")
    theirs = fresh(session.sources.template(name))
    rows: dict[str, list[Any]] = {}
    for place, document in enumerate(task.eval_docs):
        context = theirs.fewshot_context(document, 0)
        asked: Any = theirs.construct_requests(document, context, metadata=(name, place, 1))
        asked = asked if isinstance(asked, list) else [asked]
        for each in asked:
            each.resps = [getattr(plain, each.request_type)([_short(each)])[0]]
        theirs._instances = asked
        theirs.apply_filters()
        for own in asked[0].filtered_resps:
            found = theirs.process_results(document, [each.filtered_resps[own] for each in asked])
            for metric, value in found.items():
                several = len(theirs._filters) > 1
                rows.setdefault(f"{metric},{own}" if several else metric, []).append(value)
    assert len(measured.documents) == len(task.eval_docs)
    assert set(measured.metrics) == set(rows)
    for key, values in rows.items():
        expected = theirs.aggregation()[key.partition(",")[0]](values)
        assert measured.metrics[key].value == pytest.approx(expected, rel=1e-4)


def _short(request: Instance) -> Instance:
    if request.request_type == "generate_until":
        request.arguments[1]["max_gen_toks"] = 12
    return request


def question(document: dict[str, Any]) -> str:
    return next(str(document[key]) for key in ("question", "input", "page") if key in document)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_fitted_or_tuned_on_never_counts(sources: Sources, name: str) -> None:
    parts, task = sources.parts(name), sources.load(name)
    counted = [question(document) for document in task.eval_docs]
    used = [[question(document) for document in part] for part in (parts.fit, parts.tuning)]
    assert all(used)
    assert not set(counted) & {*used[0], *used[1]}
    assert not set(used[0]) & set(used[1])
    assert len(counted) == parts.asked
    assert [question(d) for d in sources.load(name, "tuning").eval_docs] == used[1]
    own = name == "gsm8k"
    assert ("train split by hash" if own else "split by hash into") in parts.told
    assert len(counted) == 10 if own else len(counted) < len(sources.template(name).eval_docs)


def test_equal_questions_fall_together_whatever_stands_before_and_after(tmp_path: Path) -> None:
    rows = [{"question": f"q{i % 9}", "answer": f"#### {i}"} for i in range(45)]
    parts = []
    for order in (rows, rows[::-1]):
        (tmp_path / "own.json").write_text(json.dumps(order))
        found = Sources(datasets=(f"gsm8k={tmp_path / 'own.json'}",))
        found.select(None, "gsm8k")
        own = found.parts("gsm8k")
        assert own.result is not None
        parts.append([{d["question"] for d in p} for p in (own.fit, own.tuning, own.result)])
    assert parts[0] == parts[1]
    fit, tuning, result = parts[0]
    assert not fit & tuning
    assert not result & (fit | tuning)


def test_demonstrations_are_never_documents_that_count(sources: Sources) -> None:
    for name in ("truthfulqa_mc1", "bbh_zeroshot_date_understanding"):
        task = sources.load(name)
        task.set_config("num_fewshot", 3)
        task.set_fewshot_seed(0)
        counted = [question(document) for document in task.eval_docs]
        for document in task.eval_docs:
            prompt = task.fewshot_context(document, 3)
            assert not [each for each in counted if each in prompt and each != question(document)]


WORDINGS = (
    PLAIN,
    Wording(system_instruction="Be brief."),
    Wording(True, None, True),
    Wording(True, "Be brief.", False),
)


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "wikitext"])
def test_fits_word_prompts_as_lm_eval_does(
    lm: SteeredLM, sources: Sources, name: str, wording: Wording
) -> None:
    examples: Any = sources.examples(name)
    task = fresh(sources.template(name))
    shown = [0, 3, 1]
    documents = [examples._kept[i][0] for i in shown]

    class Fixed:
        def sample(self, **_: Any) -> list[Any]:
            return documents

        def set_rnd(self, _: Any) -> None:
            pass

    task.sampler = Fixed()
    query, place = examples.pairs[4][0], 4
    own = wording.requests(lm)
    own.pop("tokenizer_name")
    worded = Worded(examples, wording, lm)
    document = examples._kept[place][0]
    whole = task.fewshot_context(document, 3, **own)
    assert worded.prompt([examples.pairs[i] for i in shown], query) == whole
    bare = task.fewshot_context(document, 0, **own)
    assert worded.prompt([], query) == bare
    chat = {key: own[key] for key in ("apply_chat_template", "chat_template")}
    asked: Any = task.construct_requests(document, bare, metadata=(name, 0, 1), **chat)
    if isinstance(asked, list):
        right = task.doc_to_target(document)
        assert worded.target(examples.pairs[place][1]) == asked[right].args[1]


def test_multiple_choice_brings_its_wrong_answers(sources: Sources) -> None:
    one: Any = sources.examples("truthfulqa_mc1").contrasts  # type: ignore[attr-defined]
    two: Any = sources.examples("truthfulqa_mc2").contrasts  # type: ignore[attr-defined]
    fit = sources.parts("truthfulqa_mc1").fit
    for (x, right, wrong), (y, rights, wrongs), document in zip(one, two, fit, strict=True):
        assert x == y
        assert x.endswith(f"Q: {document['question']}\nA:")
        choices = document["mc1_targets"]["choices"]
        assert (right, wrong) == ((choices[0],), tuple(choices[1:]))
        labelled = document["mc2_targets"]
        both = list(zip(labelled["choices"], labelled["labels"], strict=True))
        assert rights == tuple(choice for choice, label in both if label == 1)
        assert wrongs == tuple(choice for choice, label in both if label == 0)
        assert len(rights) == 2
    assert not sources.examples("gsm8k").contrasts  # type: ignore[attr-defined]


def test_whole_texts_are_nothing_to_fit_on(sources: Sources) -> None:
    with pytest.raises(UsageError, match="--fit_on"):
        _ = sources.examples("wikitext").pairs


def test_another_task_to_fit_on(lm: SteeredLM, sources: Sources) -> None:
    plain = Session(lm, "hf", {}, sources)
    other = Sources(datasets=sources.datasets, fit_on="sentiment_transfer")
    other._made = {**sources._made}
    other.library._tasks.update(sources.library._tasks)
    session = Session(lm, "hf", {}, other)
    assert session.examples("wikitext").pairs == other.examples("sentiment_transfer").pairs
    steered, bare = Arm("icv", method="icv"), Arm("zero_shot")
    assert session.spec("gsm8k", bare).run_id == plain.spec("gsm8k", bare).run_id
    assert session.spec("gsm8k", steered).run_id != plain.spec("gsm8k", steered).run_id
    several = Sources(fit_on="precision")
    with pytest.raises(UsageError, match="one task is needed, got 18"):
        several.fitted_on("antonym")


def test_shuffled_labels_of_any_task_are_the_only_difference(session: Session) -> None:
    for name in ("truthfulqa_mc1", "gsm8k"):
        prompts = []
        for prompting in ("few_shot", "shuffled_few_shot"):
            arm = Arm(prompting, prompting=prompting)
            task = session.task(session.spec(name, arm), arm)
            document = task.eval_docs[0]
            prompts.append(task.fewshot_context(document, task.config.num_fewshot))
        straight, shuffled = prompts
        assert straight != shuffled
        assert sorted(straight) == sorted(shuffled), "the same answers in other places"
        assert straight.split("\n")[-2:] == shuffled.split("\n")[-2:]


def test_a_hash_that_is_written_out(sources: Sources) -> None:
    """The parts are an interface: other parts would make other numbers of old records."""
    found = {
        name: [question(d) for d in part]
        for name in ("bbh_zeroshot_date_understanding",)
        for part in [sources.parts(name).fit]
    }
    keys = [
        hashlib.sha256(f"Q: {one}\nA:".encode()).hexdigest()
        for one in found["bbh_zeroshot_date_understanding"]
    ]
    assert keys == sorted(keys)
    assert len(keys) == 6
