"""Protocols of papers: what they set, what they refuse, and that the run id carries it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import harness
from harness.cases.evals import Asked
from harness.errors import UsageError
from harness.lm.adapter import SteeredLM
from harness.lm.loading import load
from harness.lm.wording import opening
from harness.measuring.first_token import TOP
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.protocols import NAMES, Protocol, named
from harness.protocols.protocol import SET
from steering import Edit, Shape, SteeringVector, get
from task_defs.behavior_shift import rewritten
from task_defs.precision import generated, utils

ROOT = Path(__file__).parents[2]
ORACLE = ROOT / "tests" / "oracle"
SHAPES = [(3, 4, 32), (30, 9, 576), (28, 16, 4096), (32, 32, 4096)]


def protocol(name: str, *, as_published: bool = False) -> Protocol:
    found = named(name, as_published)
    assert found is not None
    return found


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "letters.json"
    words = [(f"in{i}", "xyzuvw"[i % 6] + f"t{i}") for i in range(60)]
    words += [(y, x) for x, y in words[::2]]
    path.write_text(json.dumps([{"input": x, "output": y} for x, y in words]))
    return path


@pytest.fixture
def session(checkpoint: Path, pairs: Path) -> Session:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=8)
    return Session(lm, "hf", {}, Sources(data=(str(pairs),), protocol=protocol("fv-paper")))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_settings_are_those_of_methods_and_every_one_has_its_source(
    name: str, as_published: bool, shape: tuple[int, int, int]
) -> None:
    found = protocol(name, as_published=as_published)
    for suite, part in found.parts.items():
        for method in part.methods:
            for setting, values in found.given(suite, method, shape):
                own = get(method).from_settings({setting: values[0]})
                assert setting in own.settings()
                assert json.loads(json.dumps(values)) == list(values)
    assert all(source and "\n" not in source for *_, source in found.rows())


@pytest.mark.parametrize(
    ("shape", "layer", "heads"),
    [((32, 32, 4096), 11, {"top_heads": (20,)}), ((28, 16, 4096), 9, {"heads": ("published",)}),
     ((30, 9, 576), 10, {"top_heads": (6,)})],
)  # fmt: skip
def test_function_vectors_are_placed_as_the_paper_places_them(
    shape: tuple[int, int, int], layer: int, heads: dict[str, Any]
) -> None:
    given = dict(protocol("fv-paper").given("precision", "fv", shape))
    assert given["layer"] == (layer,)
    assert heads.items() <= given.items()
    assert dict(protocol("fv-paper").given("precision", "layer_average", shape))["layer"] == (
        layer,
    )
    assert Shape(*shape).n_layers == shape[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_every_setting_with_its_source(name: str) -> None:
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    rows = [tuple(map(str.strip, line.split(" | "))) for line in part.splitlines()]
    told = [row for row in rows if len(row) == 3][1:]
    own = [
        tuple(cell.replace("|", "\\|").replace("\n", "\\n").strip() for cell in row)
        for _, *row in protocol(name).rows()
    ]
    assert [tuple(cell.strip("| ") for cell in row) for row in told] == own
    for departure in protocol(name).departures:
        assert f"- {departure}" in part


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", sorted(set(SET) - {"apply_chat_template", "no_chat_template"}))
def test_an_option_that_the_protocol_sets_is_refused(name: str, option: str) -> None:
    values = {"chat_template": "auto", "frame": "paraphrase", "gen_kwargs": {"a": 1}, "budget": 3,
              "dose": 1.0, "fewshot_as_multiturn": True}  # fmt: skip
    with pytest.raises(UsageError, match=f"{name} sets {option} as the paper did"):
        harness.compare(protocol=name, **{option: values.get(option, "acc")})


def test_a_file_of_an_evaluation_takes_it_too(tmp_path: Path) -> None:
    asked = Asked.of({"protocol": "fv-paper"}, "a.eval.yaml", tmp_path)
    tasks, arms = asked.chosen("hf")
    found = protocol("fv-paper")
    assert (tasks, tuple(arm.name for arm in arms)) == (found.tasks, found.arms)
    assert asked.asking("hf").chat == "never"
    assert len(asked.cases("hf")) == len(tasks) * len(arms)
    for wrong, said in (
        ({"protocol": "fv"}, "no protocol named 'fv'"),
        ({"as_published": True}, "needs --protocol"),
        ({"protocol": "fv-paper", "budget": 5}, "sets budget"),
    ):
        with pytest.raises(UsageError, match=said):
            Asked.of(wrong, "a.eval.yaml", tmp_path).chosen("hf")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocol": "fv-paper", "arms": ["zero_shot", "caa"]}, "nothing for the method 'caa'"),
        ({"protocol": "fv-paper", "suite": "behavior_shift"}, "nothing for tasks of"),
        ({"as_published": True}, "needs --protocol"),
    ],
)
def test_what_the_paper_does_not_have_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        harness.compare(**options)


def test_a_method_at_its_own_published_settings_stands_beside(session: Session) -> None:
    spec = session.spec("letters", Arm("icv:default", method="icv", default=True))
    assert spec.arm.given == ()
    assert spec.budget == 0


def test_the_run_id_knows_the_settings_and_not_the_name(session: Session, pairs: Path) -> None:
    def run_id(found: Protocol | None, arm: Arm) -> str:
        other = Session(session.lm, "hf", {}, Sources(data=(str(pairs),), protocol=found))
        return other.spec("letters", arm).run_id

    fv = Arm("fv", method="fv")
    own = protocol("fv-paper")
    for arm in (fv, Arm("zero_shot")):
        assert run_id(own, arm) == run_id(dataclasses.replace(own, name="other", paper=""), arm)
        assert run_id(own, arm) != run_id(None, arm)
        assert run_id(own, arm) != run_id(own.published(), arm)  # another split
        assert run_id(own, arm) != run_id(dataclasses.replace(own, opening=False), arm)
        assert run_id(own, arm) != run_id(dataclasses.replace(own, beside=()), arm)
    part = own.parts["precision"]
    methods = {**part.methods, "fv": {**part.methods["fv"], "shots": part.methods["fv"]["layer"]}}
    changed = dataclasses.replace(part, methods=methods)
    assert run_id(own, fv) != run_id(dataclasses.replace(own, parts={"precision": changed}), fv)


def test_prompts_open_as_the_reference_opens_them_in_fits_too(session: Session) -> None:
    assert opening(session.lm) == "<s>"  # which the tokenizer does not put there
    spec = session.spec("letters", Arm("few_shot", "few_shot"))
    task = session.asked(spec)
    task.build_all_requests(limit=2, rank=0, world_size=1)
    asked = task.instances[0].args[0]
    assert asked.startswith("<s>Q: ")
    assert session.lm.tok_encode(asked)[0] == session.lm.tokenizer.bos_token_id
    examples = session.examples("letters")
    shown = [part.split("\nA: ") for part in asked.removeprefix("<s>").split("\n\n")[:-1]]
    assert len(shown) == 10
    query = asked.rpartition("Q: ")[2].removesuffix("\nA:")
    assert examples.prompt([(x.removeprefix("Q: "), y) for x, y in shown], query) == asked


def test_the_reference_tokenizer_opens_by_itself() -> None:
    lm = SteeredLM(str(ORACLE / "llama" / "checkpoint"), device="cpu", dtype="float32")
    assert opening(lm) == ""
    lm = SteeredLM(str(ORACLE / "gpt-j" / "checkpoint"), device="cpu", dtype="float32")
    assert opening(lm) == "<|endoftext|>"


@pytest.mark.parametrize("name", ["llama", "gpt-j"])
@pytest.mark.parametrize("steered", [False, True])
def test_ranks_are_those_of_the_papers_code(name: str, steered: bool) -> None:
    folder = ORACLE / name
    inputs = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    expected = load_file(folder / "expected.safetensors")
    lm = SteeredLM(str(folder / "checkpoint"), device="cpu", dtype="float32")
    edit = Edit("block_output", inputs["fv_layer"], "add", expected["function_vector"],
                "continuation")  # fmt: skip
    vector = SteeringVector((edit,)) if steered else None
    logits = expected["fv_steered_logits" if steered else "fv_plain_logits"]
    order = logits.argsort(descending=True).tolist()
    query = inputs["fv_query"]
    query = query if query.startswith(opening(lm)) else opening(lm) + query
    prompt = lm.tok_encode(query)
    first = sorted({order[place] for place in (0, 1, 2, 3, 7, len(order) // 2)})
    requests = [(("q", str(token)), prompt, [token, order[5]]) for token in first]
    with lm.steer(vector):
        found = lm._loglikelihood_tokens(requests, disable_tqdm=True)
    assert [answer.rank for answer in found] == [order.index(token) for token in first]


def test_splits_are_whole_and_as_published_words_may_straddle() -> None:
    every = [(f"a{i}", f"b{i}") for i in range(300)] + [(f"b{i}", f"a{i}") for i in range(300)]
    whole = utils.split(every, 10**6)
    assert [len(whole[name]) for name in utils.SPLITS] == [420, 54, 126]
    mirrored = {(y, x) for x, y in whole["train"]}
    assert not mirrored & set(whole["test"])
    published = utils.split(every, 10**6, apart=False)
    assert [len(published[name]) for name in utils.SPLITS] == [420, 54, 126]
    mirrored = {(y, x) for x, y in published["train"]}
    share = len(mirrored & set(published["test"])) / len(published["test"])
    assert share == pytest.approx(0.7, abs=0.1)
    sources = [Sources(protocol=protocol("fv-paper", as_published=each)) for each in (False, True)]
    tests = [found.load("antonym").eval_docs for found in sources]
    assert len(tests[0]) == len(tests[1])
    assert tests[0]["input"] != tests[1]["input"]
    for found, documents in zip(sources, tests, strict=True):
        assert not set(documents["input"]) & {x for x, _ in found.examples("antonym").pairs}


def test_a_comparison_under_the_protocol(checkpoint: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    torch.manual_seed(0)
    found = harness.compare(
        str(checkpoint), model_args={"dtype": "float32"}, protocol="fv-paper", data=[str(pairs)],
        limit=12, output_path=out, arms=["zero_shot", "few_shot", "fv", "random_vector:fv"],
    )  # fmt: skip
    records = {record.arm: record for record in found.records}
    fv = records["fv"]
    assert fv.headline == "first_token_acc"
    assert fv.spec["budget"] == 0
    assert fv.tuning is None
    assert fv.spec["settings"]["shots"] == 10
    assert fv.spec["settings"]["layer"] == 1
    assert fv.fit is not None
    assert len(fv.fit["provenance"]["heads"]) == 1  # ceil(3 * 4 / 51.2)
    assert records["random_vector:fv"].spec["settings"]["of_settings"]["coefficient"] == 1.0
    assert set(TOP) <= set(fv.metrics)
    assert set(fv.metrics) >= {"acc", "target_logprob"}
    assert {record.spec["chat_template"] for record in records.values()} == {False}


def test_in_context_vectors_are_measured_as_their_paper_does(
    checkpoint: Path, tmp_path: Path
) -> None:
    found = harness.compare(
        str(checkpoint), model_args={"dtype": "float32"}, protocol="icv-paper", judge="ngrams",
        tasks=["sentiment_transfer"], limit=3, output_path=tmp_path,
    )  # fmt: skip
    records = {record.arm: record for record in found.records}
    assert set(records) == {"zero_shot", "few_shot", "icv"}
    icv = records["icv"]
    assert (icv.headline, icv.spec["budget"]) == ("attribute", 0)
    own = {"pairs": 5, "coefficient": 0.1, "last_k": 1, "contrast": "pairs"}
    assert own.items() <= icv.spec["settings"].items()
    assert {"bleu", "rouge_1", "rouge_2", "rouge_l", "content", "joint"} <= set(icv.metrics)
    asked = icv.lm_eval
    assert asked is not None
    sources = Sources(protocol=protocol("icv-paper"))
    task = sources.load("sentiment_transfer")
    config = task.config
    assert config.generation_kwargs["max_gen_toks"] == 32
    assert config.generation_kwargs["temperature"] == 0.45
    task.set_config("num_fewshot", 2)
    task.set_fewshot_seed(0)
    task.build_all_requests(limit=1, rank=0, world_size=1)
    (prompt, settings) = task.instances[0].args
    assert prompt.startswith('Please paraphrase the following sentence.\n Original: "')
    assert prompt.count('".  Original: "') == 2
    assert prompt.endswith('"; Paraphrased: "')
    assert settings["until"] == ['"', "\n"]
    assert len(sources.load("sentiment_transfer").eval_docs) > 60


def test_both_methods_are_compared_as_their_comparison_does(
    checkpoint: Path, pairs: Path, tmp_path: Path
) -> None:
    found = harness.compare(
        str(checkpoint), model_args={"dtype": "float32"}, protocol="comparison-paper",
        data=[str(pairs)], limit=2, output_path=tmp_path, arms=["zero_shot", "icv"],
    )  # fmt: skip
    records = {record.arm: record for record in found.records}
    icv = records["icv"]
    assert icv.spec["budget"] == 20
    assert icv.tuning is not None
    tried = [trial["settings"] for trial in icv.tuning["trials"]]
    assert len({(each["pairs"], each["coefficient"]) for each in tried}) == 20
    assert {each["last_k"] for each in tried} == {4}
    assert {each["contrast"] for each in tried} == {"off_task"}
    assert icv.headline == "first_word"
    assert {"f1", "entropy", "dist_1", "dist_2"} <= set(icv.metrics)
    assert all(isinstance(sample["output"], str) for sample in icv.samples)
    sources = Sources(data=(str(pairs),), protocol=protocol("comparison-paper"))
    assert sources.shots("letters") == 3
    config = sources.load("letters").config
    assert config.generation_kwargs["max_gen_toks"] == 16
    assert sources.metadata("detoxification")["headline"] == "attribute"
    own = protocol("comparison-paper")
    assert [own.asks(suite, "shuffled_few_shot") for suite in own.parts] == [True, False]
    shape = (3, 4, 32)
    assert dict(own.given("behavior_shift", "icv", shape))["contrast"] == ("pairs",)


@pytest.mark.parametrize(
    ("output", "document", "first_word", "f1"),
    [
        (" Paris.\n\nQ: Italy", {"input": "France", "output": "Paris"}, 1.0, 1.0),
        (" the cold water", {"input": "hot", "output": "cold"}, 1.0, 2 / 3),
        (" warm", {"input": "hot", "output": "cold"}, 0.0, 0.0),
        (" hot", {"input": "hot", "output": "Hot"}, 0.0, 0.0),
        (" Hot", {"input": "hot", "output": "Hot"}, 1.0, 1.0),
        ("", {"input": "hot", "output": "cold"}, 0.0, 0.0),
        (" icy", {"input": "hot", "output": "cold", "references": ["cold", "icy"]}, 1.0, 1.0),
    ],
)  # fmt: skip
def test_generated_answers(
    output: str, document: dict[str, Any], first_word: float, f1: float
) -> None:
    found = generated.process_results(document, [output])
    assert found["first_word"] == first_word
    assert found["f1"] == pytest.approx(f1)


def test_bleu_and_rouge_are_their_libraries_own() -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import sentence_bleu

    document = {"input": "the food was bad", "output": "the food was very good", "task":
                "sentiment_transfer", "classifier": "", "label": ""}  # fmt: skip
    found = rewritten.process_results(document, [" the food was good "])
    assert found["bleu"] == sentence_bleu("the food was good", [document["output"]]).score / 100
    expected = RougeScorer(["rougeL"]).score(document["output"], "the food was good")["rougeL"]
    assert found["rouge_l"] == expected.fmeasure
    assert 0 < found["rouge_2"] < found["rouge_1"] < 1
