"""The table of docs/architectures.md: what the code does on a small model of each architecture.

`python -m tests.harness.architectures` writes it anew.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from steering import UnsupportedModel, check_sites, resolve
from steering.effects import best_path
from steering.layout import Layout
from tests.harness.zoo import CONFIGS, MORE, WRAPPED, made

PAGE = Path(__file__).parent.parent.parent / "docs" / "architectures.md"
NAMES = sorted([*CONFIGS, *MORE, *WRAPPED])
PROMPT = [[1] * 20]
FAST = ("staged", "branching")


def row(name: str) -> tuple[str, str]:
    """State of an architecture, and what its blocks add to the residual stream (or why not)."""
    model = made(name)
    try:
        check_sites(model)
    except UnsupportedModel as error:
        reason = str(error).partition("cannot be steered: ")[2] or str(error)
        return "refused", reason.rpartition("; use another")[0] or reason
    path = best_path(model, PROMPT)
    layout = resolve(model)
    state = "exact" if path in FAST else "exact without branching"
    return state, "; ".join([_sums(layout), *_gaps(layout)])


def _sums(layout: Layout) -> str:
    return ", ".join(each for each, _ in itertools.groupby(sorted(set(layout.residuals))))


def _gaps(layout: Layout) -> list[str]:
    """Sites that some layers lack."""
    found = []
    for site, what in (("head_output", "heads"), ("mlp_output", "mlp_output")):
        layers = layout.layers(site)
        if len(layers) < layout.n_layers:
            where = f"at layers {', '.join(map(str, layers))} of" if layers else "at none of"
            found.append(f"{what} {where} {layout.n_layers}")
    if len(set(layout.head_dims) - {0}) > 1:
        found.append(f"heads of width {', '.join(map(str, layout.head_dims))}")
    return found


def table() -> dict[str, tuple[str, str]]:
    """The rows of the page, by architecture."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            found[cells[0].strip("`")] = cells[1], cells[2]
    return found


def main() -> None:
    """Write the rows anew, under the page's own head."""
    head = PAGE.read_text(encoding="utf-8").partition("| architecture |")[0]
    lines = ["| architecture | state | output of a block, and what is missing |", "|---|---|---|"]
    for name in NAMES:
        state, said = row(name)
        lines.append(f"| `{name}` | {state} | {said} |")
    PAGE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
