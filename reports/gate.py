"""The regression gate: records against a committed baseline, one verdict per case.

A case fails when its metric is worse beyond the tolerance, or significantly worse document by
document, when it is no number, when it has no baseline, when its protocol changed; and a baseline
that no record uses fails too, so that a case cannot vanish unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from reports import baseline
from reports.baseline import BadBaseline, Case
from reports.foreign import printable
from reports.record import Record
from reports.stats import compare, holm

FAILING = ("worse", "nan", "missing_baseline", "unused_baseline", "changed_protocol", "slower")


class BadRule(ValueError):
    """A rule that nothing could break."""


@dataclass(frozen=True)
class Rule:
    """What is still accepted.

    Attributes:
        tolerance: How much worse a metric may be.
        significance: Level of the paired test, after Holm's correction over all cases.
        slowdown: How much the overhead may rise, as a share of the baseline's; None ignores time.
    """

    tolerance: float = 0.02
    significance: float = 0.01
    slowdown: float | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that nothing could break.

        Raises:
            BadRule: a bound that is negative, infinite or no number.
        """
        for name in ("tolerance", "significance", "slowdown"):
            bound = getattr(self, name)
            if bound is not None and not 0 <= bound < math.inf:
                raise BadRule(f"{name} {bound}: expected a finite number from 0")


@dataclass(frozen=True)
class Verdict:
    """The judgement of one case.

    Attributes:
        case: Model, task, arm and seed.
        status: pass, better, or one of FAILING.
        text: Why, in one line.
        timed: Whether time was compared; None where the rule does not ask or neither side has one,
            as a baseline arm, to which others are compared.
    """

    case: str
    status: str
    text: str
    timed: bool | None = None

    @property
    def failed(self) -> bool:
        """Whether the gate is red because of it."""
        return self.status in FAILING

    def __str__(self) -> str:
        """Return one line."""
        return printable(f"{'FAIL' if self.failed else 'ok'}  {self.case}: {self.text}")


def gate(
    records: Sequence[Record],
    path: Path,
    rule: Rule | None = None,
    *,
    update: bool = False,
    update_new_only: bool = False,
) -> list[Verdict]:
    """Judge records by a baseline file.

    Args:
        records: What was measured.
        path: The baseline file. Cases that it lacks are written to it, and fail this once.
        rule: What is still accepted.
        update: Take over all that was measured and drop what was not; nothing fails but NaN.
        update_new_only: Take over new cases without failing them; the others are judged.

    Raises:
        BadBaseline: the file is not a baseline, or none where new cases are to be added.
    """
    known, found = baseline.read(path), baseline.cases(records)
    if update_new_only and not path.exists():
        raise BadBaseline(f"{path}: no such file to add to; --update makes a new baseline")
    numbers = {name: case for name, case in found.items() if case.value is not None}
    if update:
        baseline.write(path, numbers)
        known = numbers
    new = numbers.keys() - known.keys()
    if new:
        baseline.write(path, {**known, **{name: numbers[name] for name in new}})
        if update_new_only:
            known = {**known, **{name: numbers[name] for name in new}}
    return judge(known, found, rule or Rule())


def judge(known: Mapping[str, Case], found: Mapping[str, Case], rule: Rule) -> list[Verdict]:
    """One verdict per case of either side, by name."""
    tested = {
        name: _paired_p(known[name], case)
        for name, case in found.items()
        if name in known and _comparable(known[name], case)
    }
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    verdicts = [
        _judge(name, known.get(name), case, adjusted.get(name), rule)
        for name, case in found.items()
    ]
    verdicts += [
        Verdict(name, "unused_baseline", "in the baseline, but not measured; --update drops it")
        for name in known.keys() - found.keys()
    ]
    return sorted(verdicts, key=lambda verdict: verdict.case)


def _comparable(was: Case, case: Case) -> bool:
    return _changed(was, case) is None and was.value is not None and case.value is not None


def _changed(was: Case, case: Case) -> str | None:
    """What makes two cases another question; None where they can be compared."""
    parts = {
        "the protocol": (was.protocol, case.protocol),
        "the documents": (was.documents, case.documents),
        "the metric": (was.metric, case.metric),
        "the metric's direction": (was.higher_is_better, case.higher_is_better),
        "the number of documents": (len(was.per_document), len(case.per_document)),
        "which documents have a value": (was.paired, case.paired),
    }
    return next((name for name, (old, new) in parts.items() if old != new), None)


def _paired_p(was: Case, case: Case) -> float:
    differences = case.per_document - was.per_document
    if not case.paired:  # a metric of the whole
        return 1.0
    binary = " " not in case.values + was.values
    return compare([differences], binary=binary).p


def _judge(name: str, was: Case | None, case: Case, p: float | None, rule: Rule) -> Verdict:
    if case.value is None:
        return Verdict(name, "nan", f"{case.metric} is not a number")
    if was is None:
        return Verdict(
            name, "missing_baseline",
            f"{case.metric} {case.value:.4f} had no baseline; written: review and commit it",
        )  # fmt: skip
    if p is None or was.value is None:
        what = _changed(was, case) or "the value"
        return Verdict(
            name, "changed_protocol", f"{what} changed since the baseline; --update takes it over"
        )
    difference = round(case.value - was.value, baseline.DIGITS)  # 0.73 - 0.75 is below -0.02
    gain = difference * (1 if case.higher_is_better else -1)
    text = f"{case.metric} {case.value:.4f}, was {was.value:.4f}"
    if gain < -rule.tolerance:
        return Verdict(name, "worse", f"{text}: worse by more than {rule.tolerance:g}")
    if gain < 0 and p < rule.significance:
        return Verdict(name, "worse", f"{text}: worse, paired test p {p:.2g} (Holm)")
    timed = None
    if rule.slowdown is not None and (case.overhead or was.overhead):
        timed = bool(case.overhead and was.overhead)
    if _slower(was, case, rule):
        slow = f"{case.overhead:.2f} times zero_shot's time, was {was.overhead:.2f}"
        return Verdict(name, "slower", f"{slow}: more than {rule.slowdown:.0%} slower")
    if gain > rule.tolerance:
        return Verdict(name, "better", f"{text}: better; --update raises the bar", timed)
    return Verdict(name, "pass", text, timed)


def _slower(was: Case, case: Case, rule: Rule) -> bool:
    if rule.slowdown is None or not case.overhead or not was.overhead:
        return False
    return case.overhead > was.overhead * (1 + rule.slowdown)


def junit(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as JUnit XML."""
    failed = sum(verdict.failed for verdict in verdicts)
    suite = ElementTree.Element(
        "testsuite", name="steergauge gate", tests=str(len(verdicts)), failures=str(failed)
    )
    for verdict in verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname="gate", name=printable(verdict.case)
        )
        if verdict.failed:
            ElementTree.SubElement(
                case, "failure", type=verdict.status, message=printable(verdict.text)
            )
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def github(verdicts: Sequence[Verdict]) -> str:
    """The failures as GitHub annotations."""
    lines = [
        f"::error title={_property(verdict.case)}::{_data(verdict.text)}"
        for verdict in verdicts
        if verdict.failed
    ]
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
