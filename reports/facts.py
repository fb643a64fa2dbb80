"""What a reader of a report must know beside its tables: warnings, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.comparison import Comparison
from reports.judging import judge_warnings
from reports.protocol import named, protocol_of
from reports.record import Record


def warnings(comparison: Comparison) -> list[str]:
    """What a reader must not overlook."""
    found = []
    if comparison.limited:
        found.append("Measured with --limit: a trial of the machinery, not a result.")
    if comparison.records[0].spec["model"] == "reference":
        found.append(
            "The built-in model is a measuring instrument for demonstrations and regression "
            "runs: it was trained on every pair, test split included. Claims about language "
            "models need language models."
        )
    every = [*comparison.records, *comparison.side_records]
    told = {record.asked: record.provenance.get("documents") for record in every}
    found += [f"{task}: {said}." for task, said in told.items() if said]
    found += misfits(every)
    found += judge_warnings(comparison)
    if comparison.superseded:
        found.append(f"{comparison.superseded} older records of the same cells are left out.")
    if any(record.provenance.get("dirty") for record in comparison.records):
        found.append("Some records were measured with uncommitted changes.")
    return found


def misfits(records: Sequence[Record]) -> list[str]:
    """Requests that do not fit the model (prompts cut, answers without a token), arm by arm.

    Those of the documents that count, and those that settings were searched on.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        target, tuning = str(record.spec["task"]), record.tuning or {}
        for task, where, counted in (
            (record.asked, "", record.provenance.get("unfit")),
            (target, " on the validation split", tuning.get("unfit")),
        ):
            for what, number, asked in unfit(counted):
                arms = found.setdefault((task, what + where), [])
                arms.append(f"{record.arm} {number} of {asked}")
    return [f"{task}: {what}: {', '.join(dict.fromkeys(arms))} requests."
            for (task, what), arms in found.items()]  # fmt: skip


def unfit(counted: Mapping[str, int] | None) -> list[tuple[str, int, int | str]]:
    """What does not fit a model, how many requests that are, and of how many."""
    kinds = {**(counted or {})}
    asked = kinds.pop("requests", "?")
    return [(what, number, asked) for what, number in kinds.items()]


def facts(comparison: Comparison) -> dict[str, str]:
    """What else must be known to repeat the numbers."""
    last = comparison.records[-1]
    spec, provenance = last.spec, last.provenance
    versions = provenance.get("versions") or {}
    host = provenance.get("host") or {}
    arguments = ",".join(f"{k}={v}" for k, v in (spec.get("model_args") or {}).items())
    found = {
        "model": f"{spec['model']} {arguments}".strip(),
        "model hash": str(spec["model_hash"]),
        "asked": _asked(comparison),
        "system prompt": str(spec.get("system_instruction")),
        "seeds": ", ".join(sorted({str(r.spec["seed"]) for r in comparison.records})),
        "protocol": _protocol(comparison),
        "tuning": _tuning(comparison),
        "versions": ", ".join(f"{name} {value}" for name, value in versions.items() if value),
        "python": str(provenance.get("python")),
        "commit": f"{provenance.get('commit') or 'not from a checkout'}"
        f"{' (with uncommitted changes)' if provenance.get('dirty') else ''}",
        "host": f"{host.get('system')} {host.get('machine')}, {host.get('cores')} cores",
        "measured": f"{comparison.records[0].provenance.get('date')} to {provenance.get('date')}",
        "command": str(provenance.get("command")),
    }
    return {name: value for name, value in found.items() if value and value != "None"}


def _protocol(comparison: Comparison) -> str:
    paper = protocol_of(comparison.records).get("paper")
    return f"{named(comparison.records)} ({paper})" if paper else ""


def _tuning(comparison: Comparison) -> str:
    most = max(int(record.spec["budget"]) for record in comparison.records)
    if not most:
        return "nothing was searched"
    return f"{most} configurations of each method per task, chosen on the validation split"


def _asked(comparison: Comparison) -> str:
    """How prompts were put to the model: per way, with its reason, the tasks or whole suites."""
    ways: dict[str, dict[str, list[str]]] = {}
    for suite, tasks in comparison.suites.items():
        for task in tasks:
            for way in dict.fromkeys(_way(r) for r in comparison.records if r.spec["task"] == task):
                ways.setdefault(way, {}).setdefault(suite, []).append(task)
    return "; ".join(f"{way}: {_tasks(comparison, found)}" for way, found in ways.items() if way)


def _way(record: Record) -> str:
    spec, asked = record.spec, record.provenance.get("asked")
    if not asked:
        return ""
    chat = "in the chat template" if spec["chat_template"] else "as plain text"
    turns = ", demonstrations as turns" if spec.get("fewshot_as_multiturn") else ""
    return f"{chat}{turns} ({asked['why']})"


def _tasks(comparison: Comparison, found: dict[str, list[str]]) -> str:
    return ", ".join(
        name
        for suite, tasks in found.items()
        for name in ([suite] if tasks == comparison.suites[suite] else tasks)
    )
