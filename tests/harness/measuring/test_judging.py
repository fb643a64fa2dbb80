"""Judges of a session: in the task and its hash, beside each other, measured on texts elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.comparing.arm import evaluate, rejudged
from harness.errors import UsageError
from harness.lm.loading import load
from harness.measuring.judging import default_judge, read_checks, read_judges
from harness.measuring.session import Session
from harness.measuring.sources import Sources
from harness.measuring.spec import Arm
from harness.tuning.chosen import Tuner
from reports import Record
from task_defs.behavior_shift import utils
from tests.task_defs.test_judges import save_encoder
from tests.task_defs.tiny_classifier import save_classifier

TASK = "detoxification"


def test_the_default_is_decided_by_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, chosen in (
        (["ngrams", "embedding", "lexicon", "embedding+lexicon"], "embedding+lexicon"),
        (["ngrams", "embedding"], "embedding"),
        (["ngrams", "lexicon"], "ngrams"),
    ):
        monkeypatch.setattr(utils.judges, "installed", lambda there=there: there)
        assert default_judge("hf") == default_judge("gpt2.gguf") == chosen
        assert default_judge("reference") == "ngrams"


@pytest.mark.parametrize("given", ["", ",", "ngram", "hf:", "ngrams,vader"])
def test_judges_that_are_none(given: str) -> None:
    with pytest.raises(ValueError, match="judge") as caught:
        read_judges(given)
    assert "\n" not in str(caught.value)


def test_files_for_the_judges(tmp_path: Path) -> None:
    file = tmp_path / "a.0"
    file.write_text("Bad.\tGood.\n")
    assert read_checks([str(file)], [TASK]) == {TASK: (file,)}
    both = read_checks(
        [f"{TASK}={file}", f"formality={file}", f"{TASK}={file}"], [TASK, "formality"]
    )
    assert both == {TASK: (file, file), "formality": (file,)}
    for given, tasks in ((str(file), [TASK, "formality"]), (f"antonym={file}", [TASK]), ("x", [])):
        with pytest.raises(UsageError, match="expected TASK=FILE") as caught:
            read_checks([given], tasks)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no such file"):
        read_checks([str(tmp_path / "none")], [TASK])


def test_the_judge_is_in_the_run_id_of_behaviour_tasks_alone(tmp_path: Path) -> None:
    name = f"hf:{save_classifier(tmp_path / 'judge')}:kind"
    plain, named = Sources(), Sources(judges=("ngrams",))
    other, further = Sources(judges=(name,)), Sources(judges=("ngrams", name))
    every = [source.fingerprint(TASK) for source in (plain, other, further)]
    assert len({*every}) == 3
    assert named.fingerprint(TASK) == plain.fingerprint(TASK)
    assert Sources(default_judge=name).fingerprint(TASK) == other.fingerprint(TASK)
    assert len({s.fingerprint("antonym") for s in (plain, other, further)}) == 1
    document = other.load(TASK).test_docs()[0]
    assert utils.judges.spelled(document["classifier"], document["label"]) == name
    assert further.load(TASK).test_docs()[0]["classifier"] == ""


def test_a_task_that_names_its_own_classifier(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "judge")
    (tmp_path / "pairs.jsonl").write_text(
        "".join(f'{{"input": "rude {i}", "output": "kind {i}"}}\n' for i in range(20))
    )
    base = Path(utils.DATA).parent / "_behavior_shift_task.yaml"
    (tmp_path / "own.yaml").write_text(
        f"include: {base}\ntask: own\ndataset_kwargs:\n  file: pairs.jsonl\n"
        f"  classifier: {folder}\n  label: kind\n"
        "metadata: {suite: behavior_shift, headline: attribute}\n"
    )
    kept = Sources(str(tmp_path), default_judge="embedding")
    assert "classifier" not in kept.metadata("own")
    with pytest.raises(UsageError, match="names its own classifier"):
        Sources(str(tmp_path), judges=("ngrams",)).metadata("own")


@pytest.fixture
def session(checkpoint: Path, tmp_path: Path) -> Session:
    lm = load("hf", {"pretrained": str(checkpoint), "dtype": "float32"}, batch_size=4)
    judge = f"hf:{save_classifier(tmp_path / 'judge')}:kind"
    sources = Sources(judges=("ngrams", judge), encoder=str(save_encoder(tmp_path / "encoder")))
    return Session(lm, "hf", {}, sources, limit=3)


def measured(session: Session) -> Record:
    (record,) = evaluate(Tuner(session), [session.spec(TASK, Arm("zero_shot"))])
    return record


def test_further_judges_read_the_same_outputs(session: Session) -> None:
    record = measured(session)
    judge = session.sources.judges[1]
    opinion = f"attribute_by_{judge}"
    ask = utils.judge(TASK, *utils.judges.named(judge))
    for sample in record.samples:
        output = sample["output"].strip()
        said = ask([output])[0] if utils.words(output) else 0.0
        assert sample[opinion] == pytest.approx(said, abs=1e-5)
        first = utils.judge(TASK)([output])[0] if utils.words(output) else 0.0
        assert sample["attribute"] == pytest.approx(first)
        for name, side in (("", "target"), ("_source", "input")):
            near = utils.embedding_content([output], [sample[side]], session.sources.encoder)
            assert [sample[f"content_embedding{name}"]] == pytest.approx(near, abs=1e-5)
    mean = sum(sample[opinion] for sample in record.samples) / 3
    assert record.metrics[opinion].value == pytest.approx(mean)
    facts = record.provenance["classifier"]
    assert (facts["name"], facts["n"]) == ("ngrams", 180)
    assert [other["name"] for other in facts["others"]] == [judge]


def test_a_finished_record_learns_of_texts_from_elsewhere(session: Session, tmp_path: Path) -> None:
    record = measured(session)
    assert rejudged(session.judging, session.sources, [record], tmp_path / "out") == [record]
    assert not (tmp_path / "out").exists()
    file = tmp_path / "a.0"
    file.write_text("Move, you idiot.\tPlease move.\nShut up, fool!\tCould you be quiet, please?\n")
    session.judging.checks = {TASK: (file,)}
    (again,) = rejudged(session.judging, session.sources, [record], tmp_path / "out")
    assert Record.load(tmp_path / "out" / "records" / record.run_id) == again
    found = again.provenance["classifier"]
    assert found["outside"]["files"] == ["a.0"]
    texts: Any = utils.outside.read_labelled(file)
    probabilities = utils.judge(TASK)([text for text, _ in texts])
    right = sum((p > 0.5) == wanted for p, (_, wanted) in zip(probabilities, texts, strict=True))
    assert found["outside"]["accuracy"] == right / 4
    assert {"outside"} <= found["others"][0].keys()
    assert again.samples == record.samples
