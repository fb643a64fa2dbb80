"""Metrics of the behaviour suite against hand calculations, and its classifiers."""

import math
from pathlib import Path

import pytest

import task_defs
from task_defs.behavior_shift import utils

measures = utils.measures

TASKS = ("detoxification", "formality", "sentiment_transfer")


def test_diversity_by_hand() -> None:
    # words a b a b c; bigrams ab ba ab bc; trigrams aba bab abc
    text = "A b, a b c!"
    assert measures.dist(text, 1) == pytest.approx(3 / 5)
    assert measures.dist(text, 2) == pytest.approx(3 / 4)
    bigrams = 0.5 * 1 + 2 * 0.25 * 2
    assert measures.entropy(text) == pytest.approx((2 / 3 * bigrams + 4 / 3 * math.log2(3)) / 2)
    assert measures.entropy("") == measures.entropy("one") == measures.dist("", 1) == 0.0


def chrf(text: str, reference: str) -> float:
    """Character n-grams up to 6 without white space, beta 2, orders missing on a side left out."""
    precisions, recalls = [], []
    for n in range(1, 7):
        grams = []
        for side in (text, reference):
            letters = "".join(side.split())
            grams.append([letters[i : i + n] for i in range(len(letters) - n + 1)])
        common = sum(min(grams[0].count(g), grams[1].count(g)) for g in set(grams[0]))
        if grams[0] and grams[1]:
            precisions.append(common / len(grams[0]))
            recalls.append(common / len(grams[1]))
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 0.0 if p + r == 0 else 5 * p * r / (4 * p + r)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("The soup was wonderful.", "The soup was wonderful."),
        ("The soup was good.", "The soup was wonderful."),
        ("Nothing alike", "The soup was wonderful."),
    ],
)
def test_content_is_chrf(text: str, reference: str) -> None:
    assert measures.content(text, reference) == pytest.approx(chrf(text, reference), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", "empty"),
        (" ... !", "empty"),
        ("move, you FOOL", "copy"),
        ("Please please please move.", "repetition"),
        ("I like it. I like it. I like it.", "repetition"),
        ("aaaaaaaa", "repetition"),
        ("Please move.", ""),
        ("It was very, very good, and the soup was very good too.", ""),
    ],
)
def test_degenerate_outputs(text: str, flags: str) -> None:
    found = utils.degenerate(text, "Move, you fool!")
    assert [name for name, value in found.items() if value] == flags.split()


def test_process_results() -> None:
    doc = {"input": "Move, you fool!", "output": "Please move.", "task": "detoxification"}
    good = utils.process_results(doc, [" Please move."])
    assert (good["exact"], good["content"], good["copy"]) == (1.0, pytest.approx(1.0), 0.0)
    same = utils.process_results(doc, ["Move, you fool!"])
    assert (same["exact"], same["copy"]) == (0.0, 1.0)
    assert good["attribute"] > 0.8 > 0.2 > same["attribute"]
    nothing = utils.process_results(doc, [""])
    assert (nothing["attribute"], nothing["content"], nothing["empty"]) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", TASKS)
def test_classifier_on_texts_it_never_saw(name: str) -> None:
    report = utils.classifier_report(name)
    parts = utils.split(utils.read(name))
    held_out = [*parts["validation"], *parts["test"]]
    judge = utils.classifier(name)
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


def test_the_files_are_imported_once_however_they_are_reached() -> None:
    again = task_defs.catalog.function("utils.attribute", utils.DATA.parent)
    assert again.__globals__ is not vars(utils)
    assert again.__globals__["texts"] is utils.texts
    assert again.__globals__["judge"] is utils.judge
