"""`--steer-json FILE`: every case's outcome for other programs."""

from __future__ import annotations

import json

import pytest

from tests.harness.plugin.conftest import run


def test_outcomes_are_written(project: pytest.Pytester) -> None:
    run(project, "--steer-json=out.json")
    outcomes = json.loads((project.path / "out.json").read_text())
    assert [outcome["name"].split()[-2] for outcome in outcomes] == ["fv", "zero_shot"]
    for outcome in outcomes:
        assert outcome["status"] == "measured"
        assert 0 <= outcome["value"] <= 1
        assert len(outcome["values"]) == 4
