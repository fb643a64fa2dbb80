"""The main jobs from Python, in the words of the command line.

    comparison = harness.compare("gpt2", tasks=["antonym"], arms=["zero_shot", "fv", "icv"])
    comparison.frame()

Every keyword is an option of the command of the same name, without its dashes; a list stands for
what the command line separates by commas, a mapping for KEY=VALUE or NAME=FILE. In place of a
model's name a loaded model is taken, with its tokenizer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from harness.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from harness.lm.adapter import SteeredLM
    from reports.notebook import Comparison, Evaluation
    from steering import SteeringVector

COMMAND_LINE = ("help", "executor", "workers", "resources", "dry_run")
"""Options of a command that have no meaning in a Python session."""


class _Parser(argparse.ArgumentParser):
    """Raises what the command line would print."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def compare(model: Any = "reference", *, tokenizer: Any = None, **options: Any) -> Comparison:
    """Measure every arm on the chosen tasks: tuned on validation, measured once on test.

    Args:
        model: `reference`, a hub id, a folder, or a loaded model.
        tokenizer: Of a loaded model.
        **options: Of `steergauge compare`: tasks, suite, data, arms, seeds, budget, limit ...
            With `output_path`, records are kept there and a repeated call continues.

    Raises:
        ValueError: what the command line would refuse, in one line.
    """
    from harness.commands.compare import Plan
    from harness.commands.options import open_session
    from harness.comparing.local import Local
    from harness.tuning.chosen import Tuner
    from reports.notebook import Comparison

    arguments, lm = _arguments("compare", model, tokenizer, options)
    with _folder(options) as out:
        plan = Plan.of(arguments)
        where = Local(Tuner(open_session(arguments, plan.sources, lm), out))
        records, failures = plan.measured(where, out)
    for name, why in failures.items():
        warnings.warn(f"{name}: {why}", stacklevel=2)
    return Comparison(records, failures)


def evaluate(
    model: Any = "reference",
    *,
    tokenizer: Any = None,
    vector: SteeringVector | str | Path | None = None,
    **options: Any,
) -> Evaluation:
    """Measure a model, steered by one vector or not, on any lm-eval task.

    Args:
        model: `reference`, a hub id, a folder, or a loaded model.
        tokenizer: Of a loaded model.
        vector: A steering vector, or the path of one of any format.
        **options: Of `steergauge run`: tasks, limit, num_fewshot, coefficient, seed ...

    Raises:
        ValueError: what the command line would refuse, in one line.
    """
    from harness.commands.options import open_session, sources
    from harness.commands.run import check, evaluated
    from reports.notebook import Evaluation

    made = None if vector is None or isinstance(vector, str | Path) else vector
    given = {**options, "vector": None if made is not None else vector}
    arguments, lm = _arguments("run", model, tokenizer, given)
    check(arguments, steered=vector is not None)
    return Evaluation(*evaluated(arguments, open_session(arguments, sources(arguments), lm), made))


def fit(
    model: Any = "reference", method: str = "fv", *, tokenizer: Any = None, **options: Any
) -> SteeringVector:
    """Fit a steering vector on one task's train split.

    Args:
        model: `reference`, a hub id, a folder, or a loaded model.
        method: A method's name.
        tokenizer: Of a loaded model.
        **options: Of `steergauge fit`: tasks, data, settings, seed ...; with `output_path` the
            vector is saved there.

    Raises:
        ValueError: what the command line would refuse, in one line.
    """
    from harness.commands import fit as command
    from harness.commands.options import open_session

    arguments, lm = _arguments("fit", model, tokenizer, {**options, "method": method})
    chosen, found, task = command.asked(arguments)
    vector = command.fit(chosen, open_session(arguments, found, lm), task).vector
    if arguments.output_path is not None:
        vector.save_pretrained(arguments.output_path)
    return vector


@contextmanager
def _folder(options: dict[str, Any]) -> Iterator[Path]:
    """Where records go: the folder asked for, or one that is gone afterwards."""
    from harness.commands.options import writable

    if options.get("output_path") is not None:
        yield writable(Path(options["output_path"]))
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _arguments(
    command: str, model: Any, tokenizer: Any, options: dict[str, Any]
) -> tuple[argparse.Namespace, SteeredLM | None]:
    """What the command would get, read by its own parser, and the model where it is loaded."""
    from harness.commands.options import quiet
    from harness.lm.loading import MODELS, take

    quiet()  # before lm-eval takes the model
    parser = _Parser(prog=f"harness.{command}", add_help=False, allow_abbrev=False)
    import_module(f"harness.commands.{command}").options(parser)
    known = {action.dest: action for action in parser._actions if action.dest not in COMMAND_LINE}
    known["output_path"].required = False
    named = model if isinstance(model, str) else "hf"
    words = {"model": named, **options}
    if named not in MODELS:
        own = _mapping(options.get("model_args"))
        words |= {"model": "hf", "model_args": {"pretrained": model, **own}}
    line = []
    for key, value in words.items():
        if key not in known:
            raise UsageError(f"harness.{command}: no option {key!r}.{did_you_mean(key, known)}")
        line += _words(known[key], value)
    arguments = parser.parse_args(line)
    if isinstance(model, str):
        return arguments, None
    lm = take(model, tokenizer, batch_size=arguments.batch_size)
    arguments.model_args = {"pretrained": str(model.config._name_or_path or type(model).__name__)}
    return arguments, lm


def _mapping(value: Any) -> dict[str, Any]:
    from harness.commands.values import key_values

    return key_values(value) if isinstance(value, str) else dict(value or {})


def _words(action: argparse.Action, value: Any) -> list[str]:
    """An option as the command line would have it."""
    name = action.option_strings[-1]
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    if isinstance(value, dict) and isinstance(action, argparse._AppendAction):
        return [f"{name}={key}={each}" for key, each in value.items()]
    if isinstance(value, dict):
        return [f"{name}={json.dumps(value, default=str)}"]
    if isinstance(value, list | tuple | range):
        if isinstance(action, argparse._AppendAction):
            return [f"{name}={each}" for each in value]
        return [f"{name}={','.join(map(str, value))}"]
    return [f"{name}={value}"]
