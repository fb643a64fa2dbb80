"""`steergauge convert IN OUT`: a steering vector in the files of another project."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.options import quiet
from harness.commands.values import filled, finite, folder, key_values, numbers
from harness.errors import UsageError

if TYPE_CHECKING:
    from steering import SteeringVector


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "source",
        type=folder,
        metavar="IN",
        help="a vector of any format, recognised by its content",
    )
    parser.add_argument("target", type=folder, metavar="OUT", help="a file, or a folder")
    parser.add_argument(
        "--to", metavar="FORMAT",
        help="native, lm_eval, gguf, glp, caa, persona, svec or steering_vectors (default: by "
        "OUT's ending: .gguf, .svec, or none for native)",
    )  # fmt: skip
    parser.add_argument(
        "--layers", type=numbers, metavar="N,...", help="keep these 0-based blocks only"
    )
    parser.add_argument(
        "--positions", type=filled, metavar="KIND",
        help="edit these tokens instead: all, prompt, last_prompt, continuation or generated",
    )  # fmt: skip
    parser.add_argument(
        "--coefficient", type=finite, metavar="X", help="replaces the vector's own strength"
    )
    parser.add_argument(
        "-M", "--model", type=filled, metavar="TYPE",
        help="the model, as in `steergauge run`: an lm_eval file names its modules, and a vector "
        "that does not fit it is refused",
    )  # fmt: skip
    parser.add_argument(
        "-a", "--model_args", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="its arguments, such as pretrained=HUB_ID_OR_FOLDER",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Read, write, read back, and say what each file says and does not say."""
    quiet()
    from steering import SteeringVector
    from steering.formats import format_of

    to = format_of(arguments.target, arguments.to)
    if arguments.model_args and not arguments.model:
        raise UsageError("--model_args needs a --model, such as --model hf")
    model = None
    if arguments.model:
        from harness.lm.loading import load

        model = load(arguments.model, arguments.model_args).model
    vector = SteeringVector.load(arguments.source, model, arguments.layers)
    _show("read", arguments.source, vector)
    if arguments.coefficient is not None:
        vector = vector.with_coefficient(arguments.coefficient)
    if arguments.positions is not None:
        vector = vector.at_positions(arguments.positions)
    written = SteeringVector.load(vector.save(arguments.target, to, model), model)
    _show("wrote", arguments.target, written)
    if left := sorted(set(vector.provenance) - set(written.provenance) - {"assumed", "format"}):
        print(f"      {to} has no place for its origin: {', '.join(left)}")
    return 0


def _show(done: str, path: Path, vector: SteeringVector) -> None:
    """What a vector is, in a line, and what its file leaves open, in another."""
    kinds = sorted({(edit.operation, edit.site, edit.positions) for edit in vector.edits})
    places = "; ".join(f"{operation} at {site}, {tokens}" for operation, site, tokens in kinds)
    layers = ", ".join(map(str, vector.layers))
    native = path.is_dir() and (path / "steering_config.json").exists()
    name = "native" if native else vector.provenance.get("format")
    print(
        f"{done:5} {path}: {name}, {places}, layers {layers}, width "
        f"{len(vector.edits[0].tensor)}, coefficient {vector.coefficient:g}"
    )
    if assumed := vector.provenance.get("assumed"):
        print(f"      not in the file{native * ' it came from'}: {'; '.join(map(str, assumed))}")
