"""The question that the comparison answers, in sentences computed from the numbers.

The claim of arXiv:2411.07213: in-context vectors win in behavioural shifting, function vectors
where precision is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.columns import pair, percent, seconds, signed, suite_title
from reports.comparison import Comparison
from reports.side import side_lines
from reports.stats import Difference

CLAIM = "ICV for behaviour, FV for precision"
DUEL = ("fv", "icv")
EXPECTED = {"precision": DUEL, "behavior_shift": DUEL[::-1]}
"""Which method the claim favours in which suite, and over which."""
READ = {
    "joint": "joint (attribute × content × fluency)",
    "attribute": "the attribute alone, as the papers do",
}
"""How a reading of behaviour is called."""


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
    lines = [
        f"{answer.suite}: the best steering method is {answer.arm} at {answer.value}"
        f"{', ' if answer.gain else ''}{answer.gain}; {answer.beside}."
        for answer in answers(comparison)
    ]
    return [*verdicts(comparison), *lines, *side_lines(comparison)]


def verdicts(comparison: Comparison) -> list[str]:
    """Whether the claim holds, under each reading of behaviour: ours first, then the papers'."""
    found = [verdict(comparison, reading) for reading in readings(comparison)]
    return [said for said in found if said]


def readings(comparison: Comparison) -> list[str]:
    """The metrics by which behaviour is read: the headline, then the attribute alone."""
    tasks = comparison.suites.get("behavior_shift", [])
    headlines = dict.fromkeys(comparison.headline(task) for task in tasks)
    shared = all("attribute" in comparison.metrics(task) for task in tasks)
    return list(dict.fromkeys([*headlines, *(["attribute"] if tasks and shared else [])]))


def verdict(comparison: Comparison, reading: str) -> str | None:
    """Whether the claim holds: only where both suites have both methods.

    Args:
        comparison: The records of a model.
        reading: The metric of the behaviour suite; precision is read by its headline.
    """
    found = {
        "precision": duel(comparison, "precision"),
        "behavior_shift": duel(comparison, "behavior_shift", reading),
    }
    if any(each is None for each in found.values()):
        return None
    metrics = {"precision": None, "behavior_shift": reading}
    signs = {
        suite: comparison.rises(comparison.suites[suite], metric)
        for suite, metric in metrics.items()
    }
    clear = {suite: (each.low > 0, each.high < 0) for suite, each in found.items() if each}
    favoured = {
        suite: higher if signs[suite] else lower for suite, (higher, lower) in clear.items()
    }
    opposed = {suite: lower if signs[suite] else higher for suite, (higher, lower) in clear.items()}
    both = "; ".join(
        f"{EXPECTED[suite][0].upper()} − {EXPECTED[suite][1].upper()} on {suite_title(suite)} "
        f"{signed(each.value)} {pair((each.low, each.high))}"
        for suite, each in found.items()
        if each
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
    return f'Behaviour read by {READ.get(reading, reading)}: "{CLAIM}" {word} ({both}).'


def duel(comparison: Comparison, suite: str, metric: str | None = None) -> Difference | None:
    """The favoured method's lead over the other in a suite; None where one has no number.

    Args:
        comparison: The records of a model.
        suite: One of EXPECTED.
        metric: None takes each task's headline metric.
    """
    arms = comparison.steered(suite) if suite in comparison.suites else {}
    if not set(EXPECTED[suite]) <= set(arms):
        return None
    first, second = (arms[method] for method in EXPECTED[suite])
    tasks = comparison.suites[suite]
    if not all(comparison.cell(arm, tasks, metric) for arm in (first, second)):
        return None
    found = comparison.difference(first, second, metric, tasks=tasks)
    return None if math.isnan(found.value) else found


def answers(comparison: Comparison) -> list[Answer]:
    """The best steering method of each suite against its baseline, its control and its cost."""
    found = [_answer(comparison, suite) for suite in comparison.suites]
    return [answer for answer in found if answer]


def _answer(comparison: Comparison, suite: str) -> Answer | None:
    tasks = comparison.suites[suite]
    methods, baseline = comparison.steered(suite).values(), comparison.baseline(suite)
    values = {arm: cell.value for arm in methods if (cell := comparison.cell(arm, tasks))}
    if not values:
        return None
    rises = comparison.rises(tasks)
    best, gained = (max if rises else min)(values, key=lambda arm: values[arm]), ""
    if all(comparison.of(task, baseline) for task in tasks):
        gain = comparison.difference(best, baseline, tasks=tasks)
        better, worse = (gain.rose, gain.fell) if rises else (gain.fell, gain.rose)
        gained = (
            f"{signed(gain.value)} {pair((gain.low, gain.high))} over {baseline}; "
            f"{percent(better)} of {gain.n} documents better, {percent(worse)} worse"
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
