"""`steergauge run`: a model, steered by a saved vector or not, on any lm-eval task."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.idle import idle_asking
from harness.commands.options import (
    judge_options,
    model_options,
    open_session,
    sources,
    task_options,
    writable,
)
from harness.commands.values import finite, folder, numbers, seed, whole
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.measuring.measurement import Document
    from harness.measuring.session import Session
    from steering import SteeringVector


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    judge_options(parser)
    parser.add_argument(
        "--vector", type=folder, metavar="PATH",
        help="from `steergauge fit`, or of any format of `steergauge convert`",
    )  # fmt: skip
    parser.add_argument(
        "--layers", type=numbers, metavar="N,...", help="only these of the vector's 0-based blocks"
    )
    parser.add_argument(
        "--coefficient", type=finite, metavar="X", help="replaces the vector's own strength"
    )
    parser.add_argument(
        "-f", "--num_fewshot", type=whole, metavar="N",
        help="demonstrations (default: what each task says)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of demonstrations (default: 0)"
    )
    parser.add_argument(
        "-o", "--output_path", type=folder, metavar="FOLDER",
        help="results.json and one file of answers per task go there",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Measure each task and print its metrics."""
    check(arguments, steered=arguments.vector is not None)
    found = sources(arguments)
    out = writable(arguments.output_path) if arguments.output_path else None
    results, documents = evaluated(arguments, open_session(arguments, found))
    if out:
        for name, lines in documents.items():
            _write(out / f"samples_{name}.jsonl", lines, lines=True)
        _write(out / "results.json", results)
    _show(results)
    return 0


def check(arguments: argparse.Namespace, *, steered: bool) -> None:
    """Raise UsageError for options of a vector where there is none."""
    if arguments.coefficient is not None and not steered:
        raise UsageError("--coefficient needs a --vector to scale")
    if arguments.layers is not None and arguments.vector is None:
        raise UsageError("--layers needs a --vector, by its path, whose layers are chosen")


def evaluated(
    arguments: argparse.Namespace, session: Session, vector: SteeringVector | None = None
) -> tuple[dict[str, Any], dict[str, list[Document]]]:
    """Measure each task.

    Args:
        arguments: What the command takes.
        session: The model and its sources.
        vector: In place of the one that `arguments.vector` names.

    Returns:
        Results by task and group, and documents by task.
    """
    found = session.sources
    names = (arguments.tasks or "").split(",") if arguments.tasks else []
    if arguments.suite or not names:
        names = list(found.select(arguments.suite, arguments.tasks))
    loaded = [found.load_any(name) for name in names]
    tasks = {key: task for each in loaded for key, task in each.tasks.items()}
    groups = {key: group for each in loaded for key, group in each.groups.items()}

    for said in idle_asking(arguments, {task.OUTPUT_TYPE for task in tasks.values()}):
        print(f"steergauge: {said}", file=sys.stderr)

    from steering import SteeringVector

    if vector is None and arguments.vector is not None:
        vector = SteeringVector.load(arguments.vector, session.lm.model, arguments.layers)
        if assumed := vector.provenance.get("assumed"):
            print(f"{arguments.vector} does not say: {'; '.join(map(str, assumed))}")
    if vector is not None and arguments.coefficient is not None:
        vector = vector.with_coefficient(arguments.coefficient)
    for name, task in tasks.items():
        _prompt(name, task, arguments, session)
    steering = dict.fromkeys(tasks, vector) if vector is not None else {}
    measured = session.measure(tasks, steering, arguments.seed)
    results: dict[str, Any] = {}
    for name, own in measured.items():
        results[name] = {
            "metrics": {key: vars(metric) for key, metric in own.metrics.items()},
            "num_fewshot": tasks[name].config.num_fewshot or 0,
            "seconds": own.seconds,
            "unfit": own.unfit,
            "proof": own.proof,
        }
    blocks = {name: own.lm_eval for name, own in measured.items()}
    results |= {
        name: {"metrics": scores}
        for name, group in groups.items()
        if (scores := _group_scores(group, blocks, results))
    }
    return results, {name: own.documents for name, own in measured.items()}


def _prompt(name: str, task: Any, arguments: argparse.Namespace, session: Session) -> None:
    """Ask a task as lm-eval's own command asks it, ours in their frame and wording."""
    if arguments.num_fewshot is not None and task.OUTPUT_TYPE != "loglikelihood_rolling":
        task.set_config("num_fewshot", arguments.num_fewshot)
        if arguments.num_fewshot > (known := len(list(task.fewshot_docs()))):
            raise UsageError(
                f"--num_fewshot {arguments.num_fewshot}: task {name} has {known} documents to "
                "show; give fewer"
            )
    from harness.measuring.prompting import reword

    few = "few_shot" if task.config.num_fewshot else session.manner.frame(name)
    if worded := session.manner.question(name, few):
        reword(task, worded)
    task.set_fewshot_seed(arguments.seed)
    if arguments.gen_kwargs and task.OUTPUT_TYPE == "generate_until":
        task.set_config("generation_kwargs", arguments.gen_kwargs, update=True)


def _group_scores(
    group: Any, blocks: dict[str, dict[str, Any]], results: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What lm-eval says of a group: the metrics that it aggregates over its tasks."""
    members = [task.task_name for task in group.get_all_tasks()]
    directions = {
        name: metric["higher_is_better"]
        for member in members
        for name, metric in results[member]["metrics"].items()
    }
    block, found = group.aggregate(blocks), {}
    for key, value in block.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        error = block.get(f"{metric}_stderr,{filter_name}")
        name = key if key in directions else metric
        found[name] = {
            "value": float(value),
            "stderr": float(error) if isinstance(error, int | float) else None,
            "n": block["sample_count"][key],
            "higher_is_better": directions.get(name, True),
        }
    return found


def _write(path: Path, content: Any, *, lines: bool = False) -> None:
    from reports.files import write_atomically
    from reports.record import dump

    text = "".join(dump(line) + "\n" for line in content) if lines else dump(content, indent=1)
    write_atomically(path, text)


def _show(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from reports.facts import unfit

    table = Table()
    for heading in ("task", "metric", "value", "stderr", "n"):
        table.add_column(heading, justify="left" if heading in ("task", "metric") else "right")
    for task, result in results.items():
        for name, metric in result["metrics"].items():
            arrow = "↑" if metric["higher_is_better"] else "↓"
            error = metric["stderr"]
            shown = "–" if error is None or math.isnan(error) else f"{error:.3f}"
            cells = task, f"{name} {arrow}", f"{metric['value']:.3f}", shown, str(metric["n"])
            table.add_row(*map(Text, cells))
    console = Console()
    console.print(table)
    for task, result in results.items():
        for what, number, asked in unfit(result.get("unfit")):
            said = f"{task}: {number} of {asked} requests: {what}"
            console.print(said, markup=False, highlight=False, soft_wrap=True)
