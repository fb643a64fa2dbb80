"""`steergauge run`: a model, steered by a saved vector or not, on any lm-eval task."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from harness.commands.options import (
    judge_options,
    model_options,
    open_session,
    sources,
    task_options,
    writable,
)
from harness.errors import UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    judge_options(parser)
    parser.add_argument("--vector", type=Path, metavar="FOLDER", help="from `steergauge fit`")
    parser.add_argument(
        "--coefficient", type=float, metavar="X", help="replaces the vector's own strength"
    )
    parser.add_argument(
        "-f", "--num_fewshot", type=int, default=0, metavar="N", help="demonstrations (default: 0)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of demonstrations (default: 0)"
    )
    parser.add_argument(
        "-o", "--output_path", type=Path, metavar="FOLDER",
        help="results.json and one file of answers per task go there",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Measure each task and print its metrics."""
    if arguments.coefficient is not None and arguments.vector is None:
        raise UsageError("--coefficient needs a --vector to scale")
    found = sources(arguments)
    out = writable(arguments.output_path) if arguments.output_path else None
    session = open_session(arguments, found)
    names = (arguments.tasks or "").split(",") if arguments.tasks else []
    if arguments.suite or not names:
        names = list(found.select(arguments.suite, arguments.tasks))
    tasks = {key: task for name in names for key, task in found.load_any(name).items()}

    from harness.measuring.prompting import prompt
    from steering import SteeringVector

    vector = None
    if arguments.vector is not None:
        vector = SteeringVector.from_pretrained(arguments.vector, model=session.lm.model)
        if arguments.coefficient is not None:
            vector = vector.with_coefficient(arguments.coefficient)
    results: dict[str, Any] = {}
    for task in tasks.values():
        few = "few_shot" if arguments.num_fewshot else "zero_shot"
        prompt(task, few, seed=arguments.seed, shots=arguments.num_fewshot)
    steering = dict.fromkeys(tasks, vector) if vector is not None else {}
    for name, measured in session.measure(tasks, steering).items():
        results[name] = {
            "metrics": {key: vars(metric) for key, metric in measured.metrics.items()},
            "seconds": measured.seconds,
            "proof": measured.proof,
        }
        if out:
            _write(out / f"samples_{name}.jsonl", measured.documents, lines=True)
    if out:
        _write(out / "results.json", results)
    _show(results)
    return 0


def _write(path: Path, content: Any, *, lines: bool = False) -> None:
    from reports.record import dump, write_atomically

    text = "".join(dump(line) + "\n" for line in content) if lines else dump(content, indent=1)
    write_atomically(path, text)


def _show(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("task", "metric", "value", "stderr", "n"):
        table.add_column(heading, justify="left" if heading in ("task", "metric") else "right")
    for task, result in results.items():
        for name, metric in result["metrics"].items():
            arrow = "↑" if metric["higher_is_better"] else "↓"
            error = metric["stderr"]
            shown = "–" if error is None or math.isnan(error) else f"{error:.3f}"
            table.add_row(
                task, f"{name} {arrow}", f"{metric['value']:.3f}", shown, str(metric["n"])
            )
    Console().print(table)
