"""The records of a folder, for the commands that judge and report them."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from reports import Record


def read_records(folder: Path, *, one_model: bool) -> list[Record]:
    """Every record of a folder, one version of each measurement, and say what is left out.

    Where a method, a task or a model was changed and measured again, the version that the last
    command in the folder asked for counts (it may be the older one, when a change was taken
    back), else the newest.

    Args:
        folder: The --output_path of a comparison.
        one_model: A model whose weights changed is a version too, not another model.

    Raises:
        UsageError: there are none.
        BadRecord: one is damaged.
    """
    from harness.comparing.ledger import Ledger
    from reports.identity import newest, question
    from reports.record import load_all

    records = load_all(folder)
    if not records:
        raise UsageError(f"{folder}: no records; run `steergauge compare` first")
    planned, versions = Ledger(folder).planned(), defaultdict[str, list["Record"]](list)
    for record in records:
        model = "" if one_model else record.spec["model_hash"]
        versions[f"{model} {question(record)}"].append(record)
    kept = []
    for group in versions.values():
        asked = [record for record in group if record.run_id in planned]
        kept.append(newest(asked or group)[-1])
    if left := len(records) - len(kept):
        print(
            f"steergauge: {left} records of earlier versions of the same measurements are left "
            f"out; a fresh --output_path keeps versions apart",
            file=sys.stderr,
        )
    return kept
