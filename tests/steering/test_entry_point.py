"""A method in a package of its own, found through the entry-point group `steergauge.methods`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

METHOD = """
from dataclasses import dataclass
import torch
from steering import Choice, Edit, SteeringMethod, SteeringVector

@dataclass(frozen=True, kw_only=True)
class Constant(SteeringMethod):
    name = "constant"
    summary = "the same number everywhere"
    coefficient: float = 1.0

    @classmethod
    def search_space(cls, shape):
        return {"coefficient": Choice((1.0, 2.0))}

    def fit(self, model, tokenizer, examples):
        edit = Edit("block_output", 0, "add", torch.ones(model.config.hidden_size))
        return self.vector([edit], model, examples, coefficient=self.coefficient)
"""
ASK = """
import harness
from lm_eval.api.registry import get_model
from steering import get, names
assert "constant" in names(), names()
assert get("constant").summary == "the same number everywhere"
assert get_model("steer-constant").method is get("constant")
from harness.measuring.spec import parse_arms
assert [a.matched for a in parse_arms(["constant", "random_vector"], names())] == [None, "constant"]
"""


def test_an_installed_method_is_found(tmp_path: Path) -> None:
    (tmp_path / "constant_method.py").write_text(METHOD)
    facts = tmp_path / "constant_method-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: constant-method\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[steergauge.methods]\nconstant = constant_method:Constant\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-c", ASK], check=True, env={**os.environ, "PYTHONPATH": path})
