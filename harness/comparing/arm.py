"""evaluate(specs) -> records: one arm on any number of tasks, measured on their test splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.lm.proof import describe
from harness.measuring.provenance import provenance
from harness.measuring.response import response
from harness.measuring.rewording import reworded
from harness.measuring.seen import seen
from reports import Record

if TYPE_CHECKING:
    from harness.measuring.judging import Judging
    from harness.measuring.rounds import Rounds
    from harness.measuring.session import Measured, Session
    from harness.measuring.sources import Sources
    from harness.measuring.spec import RunSpec
    from harness.tuning.chosen import Chosen, Tuner
    from harness.tuning.fit import Fitted
    from steering import SteeringVector


def evaluate(tuner: Tuner, specs: Sequence[RunSpec]) -> list[Record]:
    """Measure an arm on tasks' test splits, those of one kind in one pass.

    Args:
        tuner: The model, its tasks, and what chooses vectors.
        specs: Measurements that differ in the task that they ask only.
    """
    session = tuner.session
    chosen = {spec.asked: tuner.vector(spec) for spec in specs if spec.arm.method}
    tasks = {spec.asked: session.asked(spec) for spec in specs}
    vectors = {name: each.fitted.vector for name, each in chosen.items()}
    measured = session.measure(tasks, vectors, specs[0].seed)
    measured = {**measured, **reworded(session, specs, vectors, measured)}
    rounds = session.rounds([spec for spec in specs if spec.side is None], vectors)
    return [
        _record(session, spec, measured[spec.asked], rounds.get(spec.asked), chosen.get(spec.asked))
        for spec in specs
    ]


def rejudged(
    judging: Judging, sources: Sources, records: Sequence[Record], out: Path
) -> list[Record]:
    """Records that say what is known of their judges now; those that change are written anew.

    A judge's accuracy on texts from elsewhere is no part of what was asked, so that a finished
    measurement can learn of it.
    """
    found = []
    known: dict[str, Any] = {}
    for record in records:
        name = record.asked
        if name not in known:
            known[name] = judging.facts(sources.load(name))
        facts = known[name]
        if facts != record.provenance.get("classifier"):
            record = replace(record, provenance={**record.provenance, "classifier": facts})
            record.save(out)
        found.append(record)
    return found


def _record(
    session: Session,
    spec: RunSpec,
    measured: Measured,
    rounds: Rounds | None,
    chosen: Chosen | None,
) -> Record:
    task = session.asked(spec)
    headline, _ = session.headline(task, own=spec.side is not None)
    documents = measured.documents
    if spec.side is not None and chosen:
        known = seen(session.sources, spec.task)
        documents = [{**each, "seen": each["input"] in known} for each in documents]
    return Record(
        run_id=spec.run_id,
        spec={**spec.as_json(), "settings": chosen.settings if chosen else None},
        metrics=measured.metrics,
        headline=headline,
        samples=documents,
        fit=_fit(session, spec, chosen.fitted) if chosen else None,
        tuning=chosen.search.as_json() if chosen and chosen.search else None,
        proof=measured.proof,
        timings={
            "fit_s": chosen.fitted.seconds if chosen else None,
            "tune_s": chosen.search.seconds if chosen and chosen.search else None,
            "eval_s": measured.seconds,
            "rounds": rounds.as_json() if rounds else None,
            "ms_per_doc": rounds.ms_per_doc if rounds else 1000 * measured.seconds / len(documents),
            "peak_memory_bytes": _peak_memory(),
        },
        provenance={
            **provenance(),
            "model_hash": session.model_hash,
            "task_hash": spec.task_hash,
            "classifier": session.judging.facts(task),
            "asked": session.manner.described(spec.asked),
            "unfit": measured.unfit,
            "documents": "" if spec.side else session.sources.parts(spec.asked).told,
            "protocol": session.sources.protocol and session.sources.protocol.described(),
            "by_size": session.sources.by_size(spec.asked, headline),
        },
        lm_eval=measured.lm_eval,
    )


def _fit(session: Session, spec: RunSpec, fitted: Fitted) -> dict[str, Any]:
    vector, arm = fitted.vector, spec.arm
    own = arm.tuned is not None and arm.matched is None and arm.prompting == spec.frame
    alone = own and spec.side is None
    return {
        "response": _response(session, spec, vector) if alone else None,
        **describe(vector),
        "seconds": fitted.seconds,
        "bytes": vector.nbytes,
        "norm": vector.norm,
        "dose": asdict(session.gauge.measure(vector)),
    }


def _response(session: Session, spec: RunSpec, vector: SteeringVector) -> dict[str, Any] | None:
    """How the first documents answer to the strength of the vector."""
    task, wording = session.task(spec, spec.arm), session.manner.wording(spec.task)
    found = response(session.lm, task, vector, limit=session.limit, wording=wording)
    return asdict(found) if found else None


def _peak_memory() -> int:
    """Peak of the accelerator's memory, or of this process where there is none."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
