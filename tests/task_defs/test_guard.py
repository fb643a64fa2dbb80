"""What a user's code leaves behind in the process is put back, whether it fails or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from task_defs.guard import perhaps_users_code, users_code


def state() -> tuple[object, ...]:
    torches = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    return (Path.cwd(), sys.stdout, sys.stderr, *torches)


def spoil() -> None:
    os.chdir("/")
    sys.stdout = sys.stderr = None  # type: ignore[assignment]
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)


class Wordless(Exception):
    """One that cannot say what it is."""

    def __str__(self) -> str:
        raise KeyError("no words")


def test_an_error_that_cannot_be_told_is_named() -> None:
    with pytest.raises(ValueError, match="it: Wordless"), users_code("it", ValueError):
        raise Wordless


@pytest.mark.parametrize("guard", [users_code, perhaps_users_code])
@pytest.mark.parametrize("fails", [False, True])
def test_the_process_stays_as_it_was(
    guard: Any, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = state()
    try:
        with guard("it", ValueError):
            spoil()
            if fails:
                raise SystemExit(0)
    except (SystemExit, ValueError):
        assert fails
    after = state()
    assert after == before
    assert torch.ones(1).dtype is torch.float32
    assert not torch.ones(1).is_meta
