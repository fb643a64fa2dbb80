"""`*.eval.yaml` files as cases."""

from __future__ import annotations

import pytest

from tests.harness.plugin.conftest import EVAL, ROOT, run


def test_one_case_per_task_and_arm_with_header_and_table(project: pytest.Pytester) -> None:
    result = run(project, "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "steergauge: model hf:pretrained=*, baseline none",
            "*small.eval.yaml::pairs-zero_shot PASSED*",
            "*small.eval.yaml::pairs-fv PASSED*",
            "* steergauge *",
            "*pairs fv 0 *acc*measured*",
        ]
    )


def test_at_least_fails_a_case_that_falls_short(project: pytest.Pytester) -> None:
    (project.path / "small.eval.yaml").write_text(EVAL + "at_least: {fv: 1.01, zero_shot: 0.0}\n")
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*pairs fv 0: acc *, expected at least 1.01*"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("tasks: [antonyms]", "*antonym*"),
        ("arms: [fvv]\ntasks: antonym", "*no arm named 'fvv'*fv*"),
        ("taks: antonym", "*expected a mapping of tasks,*got taks*"),
        ("[1", "*small.eval.yaml: not YAML*"),
        ("tasks: antonym\nbudget: many", "*budget: expected int, got 'many'*"),
        ("data: nowhere.json", "*nowhere.json: no such file*"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(
    project: pytest.Pytester, content: str, said: str
) -> None:
    (project.path / "small.eval.yaml").write_text(content)
    result = run(project)
    result.stdout.fnmatch_lines([said])
    assert "Traceback" not in result.stdout.str()
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_cases_are_marked_by_suite(project: pytest.Pytester) -> None:
    (project.path / "small.eval.yaml").write_text("tasks: [antonym, formality]\narms: zero_shot\n")
    result = run(project, "--collect-only", "-q", "-m", "behavior_shift")
    result.stdout.fnmatch_lines(["*formality-zero_shot"])
    assert "antonym" not in result.stdout.str()


def test_workers_of_xdist_report_every_case_once(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = run(project, "-n", "2", "--dist", "loadgroup", "-p", "xdist")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*pairs fv 0 *measured*", "*pairs zero_shot 0 *measured*"])


def test_a_start_without_cases_loads_nothing_heavy(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            heavy = {"torch", "transformers", "pandas", "scipy", "datasets"}
            print("heavy:", sorted(heavy & set(sys.modules)))
        """
    )
    pytester.makepyfile("def test_nothing(): ...")
    pytester.makeini("[pytest]\naddopts = -p harness.pytest_plugin\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["heavy: []"])
