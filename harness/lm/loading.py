"""Load the model that is measured, once, and say which one it is."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, one_line
from harness.lm.launch import alone, local_rank, processes
from harness.lm.packaged import PACKAGED, gguf_file
from harness.reference import REFERENCE, weights
from task_defs.guard import is_own

if TYPE_CHECKING:
    from torch import Tensor

    from harness.lm.adapter import SteeredLM

MODELS = (REFERENCE, "hf", *PACKAGED)
LOADING = (
    OSError, ImportError, TypeError, AttributeError, RuntimeError, ValueError, KeyError,
    AssertionError,
)  # fmt: skip
"""What a checkpoint or an argument that does not fit makes transformers raise."""

SAMPLED = 4096
"""Values read of each parameter tensor for the identity of a model."""


def load(model: str, model_args: dict[str, Any], **hflm: Any) -> SteeredLM:
    """Load a model into lm-eval, and prove that it can be steered.

    Args:
        model: `reference` (the built-in one), `hf`, or a packaged one (`PACKAGED`).
        model_args: HFLM's arguments; `hf` needs `pretrained`.
        **hflm: More of them: `batch_size`, `device`.

    Raises:
        UsageError: an unknown model, or one that cannot be loaded.
        UnsupportedModel: an edit at some site would not reach the logits.
    """
    from harness.lm.arguments import refuse_wrong_types

    refuse_wrong_types(model_args)
    arguments = dict(arguments_of(model, model_args))
    if arguments.get("tp_plan"):
        raise UsageError(
            f"tp_plan={arguments['tp_plan']}: tensor parallelism splits heads between processes, "
            "where an edit finds only a part of them; use parallelize=true, or accelerate launch"
        )
    from transformers.utils.logging import disable_progress_bar

    from harness.lm.adapter import SteeredLM
    from steering import check_sites

    disable_progress_bar()

    asked = hflm.pop("device", None)
    arguments["device"] = _checked_device(str(arguments.get("device") or asked or _device()))
    try:
        with alone():
            lm = SteeredLM(**arguments, **hflm)
    except LOADING as error:
        if is_own(error):
            raise
        raise UsageError(f"cannot load {arguments['pretrained']!r}: {one_line(error)}") from error
    lm.silent = True
    check_sites(lm.model)
    return lm


def take(model: Any, tokenizer: Any, **hflm: Any) -> SteeredLM:
    """Put a model that is loaded already into lm-eval, and prove that it can be steered.

    Args:
        model: A Hugging Face causal language model; it stays where it is.
        tokenizer: Its tokenizer.
        **hflm: More of HFLM's arguments: `batch_size`.

    Raises:
        UsageError: no tokenizer, or something that is no such model.
        UnsupportedModel: an edit at some site would not reach the logits.
    """
    from transformers import PreTrainedModel

    from harness.lm.adapter import SteeredLM
    from steering import check_sites

    if not isinstance(model, PreTrainedModel) or tokenizer is None:
        raise UsageError(
            f"got a {type(model).__name__} {'with' if tokenizer is not None else 'without'} a "
            "tokenizer; expected a name, or a loaded Hugging Face model with tokenizer=..."
        )
    lm = SteeredLM(pretrained=model, tokenizer=tokenizer, **hflm)
    lm.silent = True
    check_sites(lm.model)
    return lm


def _device() -> str:
    """The accelerator if there is one, each process of a launch its own."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        return "cpu"
    return f"{found.type}:{local_rank()}" if processes() > 1 else found.type


def _checked_device(name: str) -> str:
    """A device that is there; lm-eval would measure on another one without a word.

    Raises:
        UsageError: no device has the name, or not on this machine.
    """
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    numbers = range(torch.accelerator.device_count() if found else 0)
    here = ["cpu", *(f"{found.type}:{number}" for number in numbers if found)]
    try:
        asked = torch.device(name)
    except RuntimeError:
        asked = None
    if asked is not None and asked.type == "cpu" and not asked.index:
        return "cpu"  # under the one name that lm-eval knows
    if asked is None or f"{asked.type}:{asked.index or 0}" not in here:
        raise UsageError(f"device {name[:40]!r} is not on this machine; it has {', '.join(here)}")
    return name


def arguments_of(model: str, model_args: dict[str, Any]) -> dict[str, Any]:
    """HFLM's arguments for a model of the command line."""
    if model not in MODELS:
        raise UsageError(
            f"no model type {model!r}; expected {' or '.join(MODELS)}, "
            f"such as --model hf --model_args pretrained={model}"
        )
    if model == REFERENCE:
        if "pretrained" in model_args:
            raise UsageError("--model reference has weights of its own; use --model hf for others")
        return {"pretrained": str(weights()), "dtype": "float32", **model_args}
    if model in PACKAGED:
        if "pretrained" in model_args:
            raise UsageError(f"--model {model} has weights of its own; use --model hf for others")
        return _gguf(gguf_file(model), model_args)
    if "pretrained" not in model_args:
        raise UsageError("--model hf needs --model_args pretrained=MODEL (a hub id or a folder)")
    folder = str(model_args["pretrained"])
    if folder.endswith(".gguf"):
        return _gguf(Path(folder), model_args)
    if folder.startswith(("/", ".", "~")) and not Path(folder).is_dir():
        raise UsageError(
            f"pretrained={folder}: no such folder; give a hub id or a checkpoint's folder"
        )
    return model_args


def _gguf(file: Path, model_args: dict[str, Any]) -> dict[str, Any]:
    """HFLM's arguments for one GGUF file; its weights are read as float32 unless dtype says other.

    Raises:
        UsageError: there is no such file, or the package that reads it is missing.
    """
    if not file.is_file():
        raise UsageError(f"pretrained={file}: no such file; give a GGUF file or a folder")
    if find_spec("gguf") is None:
        raise UsageError("reading a GGUF file needs the package gguf: pip install steergauge[real]")
    where = {"pretrained": str(file.parent), "gguf_file": file.name}
    return {"dtype": "float32", **model_args, **where}


def identity(lm: SteeredLM) -> str:
    """12 hex digits that name a model and its tokenizer by content, not by path.

    Over the configuration, evenly spaced values of every parameter, and the tokenizer with its
    chat template; and what a model has beside them: kept buffers, adapters, and settings of
    generation that its configuration does not say.
    """
    config = {
        key: value
        for key, value in lm.model.config.to_dict().items()
        if not key.startswith("_") and key != "transformers_version"
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, parameter in sorted(lm.model.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(_sampled(lm.model, name).numpy().tobytes())
    backend = getattr(lm.tokenizer, "backend_tokenizer", None)
    spelled = backend.to_str() if backend else json.dumps(sorted(lm.tokenizer.get_vocab().items()))
    digest.update(spelled.encode())
    if lm.tokenizer.chat_template:
        digest.update(json.dumps(lm.tokenizer.chat_template, sort_keys=True).encode())
    if beside := _beside(lm.model, config):
        digest.update(json.dumps(beside, sort_keys=True, default=_plain).encode())
    return digest.hexdigest()[:12]


NAMELESS = ("transformers_version", "base_model_name_or_path", "inference_mode")
"""Keys of settings that say where a model came from, and change nothing."""


def _beside(model: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What decides outputs and is neither a parameter nor the configuration; {} for most models."""
    weights = dict(model.named_parameters(remove_duplicate=False))  # tied ones have two names
    kept = [name for name in model.state_dict() if name not in weights]
    generation = getattr(model, "generation_config", None)
    asked = generation.to_diff_dict().items() if generation is not None else ()
    adapters = getattr(model, "peft_config", None)
    found = {
        "buffers": {name: _sampled(model, name).tolist() for name in kept},
        "generation": {
            key: value
            for key, value in asked
            if key not in NAMELESS and not key.startswith("_") and config.get(key) != value
        },
        "adapters": {
            name: {k: v for k, v in each.to_dict().items() if k not in NAMELESS}
            for name, each in (adapters if isinstance(adapters, dict) else {}).items()
        },
    }
    return {key: value for key, value in found.items() if value}


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _sampled(model: Any, name: str) -> Tensor:
    """Evenly spaced values of a parameter or buffer, in float32 on the CPU; offloaded ones come."""
    from accelerate.utils import align_module_device  # type: ignore[import-untyped]

    path, _, own = name.rpartition(".")
    module = model.get_submodule(path)
    with align_module_device(module):
        parameter = getattr(module, own)
        if parameter.is_meta:
            raise UsageError(
                f"the weights {name} lie on the meta device and nothing brings them; load the "
                "model with its weights"
            )
        flat = parameter.detach().flatten()
        values: Tensor = flat[:: max(1, flat.numel() // SAMPLED)].float().cpu().contiguous()
    return values
