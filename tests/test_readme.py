"""Tables of pages say what the committed reports say."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """The cells of the first table below a heading, by their first one."""
    part = text.partition(f"{heading}\n")[2].partition("\n#")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row for row in cells[: len({row[0] for row in cells})]}


@pytest.mark.parametrize(
    ("page", "heading", "results"),
    [
        ("README.md", "## What comes out, on a real language model", "smollm2"),
        ("docs/methods.md", "## What each does on a small language model", "methods"),
    ],
)
def test_figures_are_those_of_the_report(page: str, heading: str, results: str) -> None:
    said = rows((ROOT / page).read_text(), heading)
    report = (ROOT / "docs" / "results" / results / "report.md").read_text()
    precision, behaviour = rows(report, "### Precision"), rows(report, "### Behaviour shift")
    price = rows(report, "### Behaviour shift: attribute and its price")
    said.pop("arm")
    assert set(said) == (set(precision) | set(behaviour)) - {"arm"}
    for arm, (_, acc, more, joint, further, attribute, content) in said.items():
        for row, value, change in ((precision, acc, more), (behaviour, joint, further)):
            _, measured, _, difference, interval, *_ = row.get(arm, ["", "–", "", "–", "–"])
            assert (value, change) == (measured, f"{difference} {interval}".removesuffix(" –"))
        _, reached, _, _, kept, *_ = price.get(arm, ["", "–", "", "", "–"])
        assert (attribute, content) == (reached, kept)


def test_figures_at_equal_dose_are_those_of_the_reports() -> None:
    said = rows((ROOT / "docs" / "methods.md").read_text(), "### At equal dose")
    equal, tuned = (
        rows((ROOT / "docs" / "results" / name / "report.md").read_text(), "### Precision")
        for name in ("methods-equal-dose", "methods")
    )
    assert set(said) | {"zero_shot"} == set(equal)
    for arm, (_, value, change, as_tuned) in list(said.items())[1:]:
        _, measured, _, difference, interval, *_ = equal[arm]
        assert (value, change, as_tuned) == (measured, f"{difference} {interval}", tuned[arm][1])
