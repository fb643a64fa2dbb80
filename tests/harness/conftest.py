from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.harness.tiny import save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    import steering.method

    monkeypatch.setattr(steering.method, "_registered", dict(steering.method._registered))
