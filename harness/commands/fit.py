"""`steergauge fit`: a steering vector as a folder."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.options import (
    fit_option,
    include_methods,
    method_option,
    model_options,
    one_task,
    open_session,
    out_option,
    quiet,
    sources,
    task_options,
    writable,
)
from harness.commands.values import filled, key_values, seed

if TYPE_CHECKING:
    from harness.measuring.session import Session
    from harness.measuring.sources import Sources
    from harness.tuning.fit import Fitted
    from steering import SteeringMethod


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    model_options(parser)
    task_options(parser)
    method_option(parser)
    fit_option(parser)
    parser.add_argument(
        "--method", type=filled, required=True, metavar="NAME", help="such as fv or icv"
    )
    parser.add_argument(
        "--settings", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="the method's settings; `steergauge ls methods` names them",
    )  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    out_option(parser, None, "folder of the vector")


def execute(arguments: argparse.Namespace) -> int:
    """Fit, save, and say what was made."""
    quiet()
    method, found, task = asked(arguments)
    out = writable(arguments.output_path)
    fitted = fit(method, open_session(arguments, found), task)
    fitted.vector.save_pretrained(out)
    layers = ", ".join(map(str, sorted({edit.layer for edit in fitted.vector.edits})))
    print(
        f"{method.name} fitted on {task} in {fitted.seconds:.2f} s: layers {layers}, norm "
        f"{fitted.vector.norm:.3f}, coefficient {fitted.vector.coefficient:g}; saved in {out}"
    )
    return 0


def asked(arguments: argparse.Namespace) -> tuple[SteeringMethod, Sources, str]:
    """The method, where tasks come from, and the one task.

    Raises:
        ValueError: an unknown method, setting or task; one line.
    """
    include_methods(arguments.include_method)
    from steering import get

    method = get(arguments.method).from_settings({**arguments.settings, "seed": arguments.seed})
    found = sources(arguments)
    return method, found, one_task(arguments, found, "a vector is fitted")


def fit(method: SteeringMethod, session: Session, task: str) -> Fitted:
    """The vector of a method on a task's train split."""
    from harness.tuning.chosen import Tuner

    tuner = Tuner(session)
    with tuner.remembering():
        return tuner.fitter.fit(method.name, method.settings(), session.examples(task))
