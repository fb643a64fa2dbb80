"""Numbers that papers published of other models, to stand beside what is measured here."""

from __future__ import annotations

from typing import Any

from reports.columns import Column
from reports.table import Table

FIRST_TOKEN: tuple[dict[str, Any], ...] = (
    {
        "model": "GPT-J-6B", "base": ".055", "few": "–", "steered": ".575",
        "where": "block 9 of 28", "documents": "six tasks, filter set",
        "source": "arXiv:2310.15213",
    },
    {
        "model": "GPT-NeoX-20B", "base": ".067", "few": "–", "steered": ".571", "where": "–",
        "documents": "six tasks, filter set", "source": "arXiv:2310.15213",
    },
    {
        "model": "Llama-2-70B", "base": ".082", "few": "–", "steered": ".838", "where": "–",
        "documents": "six tasks, filter set", "source": "arXiv:2310.15213",
    },
    {
        "model": "Llama-3.2-1B", "base": ".178", "few": ".656 (10)",
        "steered": ".445 (10 heads), .493 (20)", "where": "block 7 of 16", "documents": "all",
        "source": "arXiv:2505.12075, stored outputs",
    },
    {
        "model": "Qwen2-1.5B", "base": ".109", "few": ".847 (5)",
        "steered": "task vector .671 at the best layer, .129 at a third", "where": "depth .54",
        "documents": "all", "source": "arXiv:2504.04635",
    },
    {
        "model": "Gemma-2-2B", "base": "–", "few": "–",
        "steered": "antonym .61 at strength 16, capital .77 at 32", "where": "block 12 of 26",
        "documents": "all", "source": "arXiv:2504.04635, figures",
    },
    {
        "model": "Qwen2.5-7B", "base": ".018", "few": "–",
        "steered": ".746 at the best layer, .064 at a third", "where": "depth .64",
        "documents": "all", "source": "living-function-vectors",
    },
)  # fmt: skip


def published_table() -> Table:
    """What others report of the first token after function vectors."""
    columns = [
        Column("model", "model"), Column("base", "zero-shot"), Column("few", "few-shot (shots)"),
        Column("steered", "zero-shot + function vector"), Column("where", "added at"),
        Column("documents", "documents"), Column("source", "source"),
    ]  # fmt: skip
    note = (
        "Published, of other models and other documents: no number of this table was measured "
        "here. Top-1 of the answer's first token. Where a layer is called the best, it was chosen "
        "on the documents that are counted."
    )
    return Table("Published numbers", note, columns, FIRST_TOKEN)
