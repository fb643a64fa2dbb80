"""The question that the comparison answers, in sentences computed from the numbers.

The claim of arXiv:2411.07213: in-context vectors win in behavioural shifting, function vectors
where precision is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.columns import pair, percent, seconds, signed, suite_title
from reports.comparison import BASELINE, Comparison
from reports.stats import Difference

CLAIM = "ICV for behaviour, FV for precision"
EXPECTED = {"precision": ("fv", "icv"), "behavior_shift": ("icv", "fv")}
"""Which method the claim favours in which suite, and over which."""


@dataclass(frozen=True)
class Answer:
    """What a reader asks of a suite first.

    Attributes:
        suite: Its name for people.
        arm: The best steering method.
        value: Its headline value.
        gain: Its difference to the baseline, with the interval.
        beside: What other arms reach, and the cost.
    """

    suite: str
    arm: str
    value: str
    gain: str
    beside: str


def summary(comparison: Comparison) -> list[str]:
    """Which method for which suite, by how much, how sure, at what cost."""
    first = verdict(comparison)
    lines = [
        f"{answer.suite}: the best steering method is {answer.arm} at {answer.value}"
        f"{', ' if answer.gain else ''}{answer.gain}; {answer.beside}."
        for answer in answers(comparison)
    ]
    return [*([first] if first else []), *lines]


def verdict(comparison: Comparison) -> str | None:
    """Whether the claim holds: only where both suites have both methods."""
    found = {suite: _duel(comparison, suite) for suite in EXPECTED}
    if any(duel is None for duel in found.values()):
        return None
    favoured = {suite: duel.low > 0 for suite, duel in found.items() if duel}
    opposed = {suite: duel.high < 0 for suite, duel in found.items() if duel}
    both = "; ".join(
        f"{EXPECTED[suite][0].upper()} − {EXPECTED[suite][1].upper()} on {suite_title(suite)} "
        f"{signed(duel.value)} {pair((duel.low, duel.high))}"
        for suite, duel in found.items()
        if duel
    )
    if all(favoured.values()):
        word = "holds on this model"
    elif any(opposed.values()):
        against = " and ".join(suite_title(suite) for suite, opposes in opposed.items() if opposes)
        word = f"does not hold on this model: {against} goes the other way"
    else:
        open_suites = " and ".join(
            suite_title(suite) for suite, favours in favoured.items() if not favours
        )
        word = f"is not decided on this model: the interval on {open_suites} includes 0"
    return f'The claim "{CLAIM}" {word} ({both}).'


def _duel(comparison: Comparison, suite: str) -> Difference | None:
    if suite not in comparison.suites:
        return None
    first, second = EXPECTED[suite]
    tasks = comparison.suites[suite]
    if not all(comparison.of(task, arm) for task in tasks for arm in (first, second)):
        return None
    return comparison.difference(first, second, tasks=tasks)


def answers(comparison: Comparison) -> list[Answer]:
    """The best steering method of each suite against its baseline, its control and its cost."""
    found = [_answer(comparison, suite) for suite in comparison.suites]
    return [answer for answer in found if answer]


def _answer(comparison: Comparison, suite: str) -> Answer | None:
    tasks = comparison.suites[suite]
    methods = [arm for arm in comparison.arms if _plain_method(comparison, arm)]
    values = {arm: cell.value for arm in methods if (cell := comparison.cell(arm, tasks))}
    if not values:
        return None
    best, gained = max(values, key=lambda arm: values[arm]), ""
    if all(comparison.of(task, BASELINE) for task in tasks):
        gain = comparison.difference(best, BASELINE, tasks=tasks)
        gained = (
            f"{signed(gain.value)} {pair((gain.low, gain.high))} over {BASELINE}; "
            f"{percent(gain.helped)} of {gain.n} documents better, {percent(gain.hurt)} worse"
        )
    name = suite_title(suite)
    return Answer(name, best, f"{values[best]:.3f}", gained, _beside(comparison, suite, best))


def _beside(comparison: Comparison, suite: str, best: str) -> str:
    """What the other arms reach, and what the fit cost."""
    tasks = comparison.suites[suite]
    parts = []
    for arm in ("few_shot", "instruction", f"random_vector:{best}"):
        cell = comparison.cell(arm, tasks)
        if cell is not None:
            parts.append(f"{arm} {cell.value:.3f}")
    spent = [r.timings.get("fit_s") for task in tasks for r in comparison.of(task, best)]
    known = [value for value in spent if value is not None]
    if known:
        parts.append(f"one fit takes {seconds(sum(known) / len(known))} s")
    return ", ".join(parts)


def _plain_method(comparison: Comparison, arm: str) -> bool:
    """Whether an arm is a steering method on a bare question, and no control."""
    spec = next(r.spec["arm"] for r in comparison.records if r.arm == arm)
    return bool(spec["method"]) and not spec.get("matched") and spec["prompting"] == BASELINE
