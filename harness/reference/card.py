"""`python -m harness.reference.card OUT`: write the model's card from a comparison's records."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.reference import REFERENCE, weights
from reports.comparison import Comparison
from reports.files import write_atomically
from reports.record import load_all
from reports.tables import suite_table, task_table

TARGETS = (
    ("precision", "acc", "few_shot", ">=", 0.90),
    ("precision", "acc", "zero_shot", "<", 0.35),
    ("behavior_shift", "attribute", "few_shot", ">=", 0.80),
    ("behavior_shift", "attribute", "zero_shot", "<", 0.30),
)
LIFT = 0.40
INTRODUCTION = """# The built-in model `reference`

A decoder of 6.4 million parameters (Llama layout, 6 layers, 8 heads, width 256) that learned to
learn in context. It is a measuring instrument for demonstrations and regression runs: it was
trained from scratch on documents generated from the lexicon and from the behaviour pairs, test
splits included, with right and with shuffled labels. Nothing it does is evidence about real
language models; claims need real models.

`python -m harness.reference.train` repeats the training (seeded, about 50 minutes on 2 cores).

## Its own quality, measured by `steergauge compare --model reference`"""


def card(comparison: Comparison) -> str:
    """The card's markdown: figures against their targets, then the tables."""
    lines = ["| figure | measured | wanted |", "|:--|--:|--:|"]
    for suite, metric, arm, sign, wanted in TARGETS:
        cell = comparison.cell(arm, comparison.suites[suite], metric)
        if cell is not None:
            lines.append(
                f"| {suite}: mean {metric}, {arm} | {cell.value:.3f} | {sign} {wanted:.2f} |"
            )
    lift = comparison.difference("fv", tasks=comparison.suites["precision"])
    lines.append(f"| precision: fv lifts zero_shot by | {lift.value:+.3f} | >= {LIFT:.2f} |")
    parts = [INTRODUCTION, "\n".join(lines)]
    for suite in comparison.suites:
        for table in (suite_table(comparison, suite), task_table(comparison, suite)):
            parts.append(f"### {table.title}\n\n{table.markdown()}\n\n{table.note}")
    return "\n\n".join(parts) + "\n"


def main(out: str) -> None:
    """Write the card beside the weights."""
    records = [r for r in load_all(Path(out)) if r.spec["model"] == REFERENCE]
    write_atomically(weights() / "README.md", card(Comparison(records)))


if __name__ == "__main__":
    main(sys.argv[1])
