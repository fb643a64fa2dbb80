"""What a reader of a report must know beside its tables: warnings, and how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    """What else must be known to repeat the numbers: of every record, where they differ."""
    dates = [str(record.provenance.get("date")) for record in comparison.records]
    found = {
        "model": _each(comparison, _model),
        "model hash": _each(comparison, lambda r: r.spec["model_hash"]),
        "asked": _asked(comparison),
        "system prompt": _each(comparison, lambda r: r.spec.get("system_instruction")),
        "seeds": ", ".join(sorted({str(r.spec["seed"]) for r in comparison.records})),
        "protocol": _protocol(comparison),
        "tuning": _tuning(comparison),
        "versions": _each(comparison, _versions),
        "python": _each(comparison, lambda r: r.provenance.get("python")),
        "commit": _each(comparison, _commit),
        "host": _each(comparison, _host),
        "measured": f"{min(dates)} to {max(dates)}",
        "command": _each(comparison, lambda r: r.provenance.get("command")),
    }
    return {name: value for name, value in found.items() if value}


def _each(comparison: Comparison, value: Callable[[Record], object]) -> str:
    """The distinct values of all records, in the records' order."""
    values = [value(record) for record in comparison.records]
    return "; ".join(dict.fromkeys(str(v) for v in values if v is not None))


def _model(record: Record) -> str:
    arguments = ",".join(f"{k}={v}" for k, v in (record.spec.get("model_args") or {}).items())
    return f"{record.spec['model']} {arguments}".strip()


def _versions(record: Record) -> str:
    versions = record.provenance.get("versions") or {}
    return ", ".join(f"{name} {value}" for name, value in versions.items() if value)


def _commit(record: Record) -> str:
    commit = record.provenance.get("commit") or "not from a checkout"
    return f"{commit}{' (with uncommitted changes)' if record.provenance.get('dirty') else ''}"


def _host(record: Record) -> str:
    host = record.provenance.get("host") or {}
    return f"{host.get('system')} {host.get('machine')}, {host.get('cores')} cores"


def _protocol(comparison: Comparison) -> str:
    paper = protocol_of(comparison.records).get("paper")
    return f"{named(comparison.records)} ({paper})" if paper else ""


def _tuning(comparison: Comparison) -> str:
    budgets: dict[int, dict[str, list[str]]] = {}
    for suite, tasks in comparison.suites.items():
        for task in tasks:
            own = {int(r.spec["budget"]) for r in comparison.records if r.spec["task"] == task}
            for budget in sorted(own - {0}):
                budgets.setdefault(budget, {}).setdefault(suite, []).append(task)
    if not budgets:
        return "nothing was searched"
    told = ", ".join(f"{n} ({_tasks(comparison, found)})" for n, found in budgets.items())
    return f"configurations of each method per task, chosen on the validation split: {told}"


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
