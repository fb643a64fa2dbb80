"""Evaluations as pytest cases: `pytest -p harness.pytest_plugin`.

- A file `NAME.eval.yaml` (`harness.cases.evals.Asked`) is collected as one case per task and arm.
- `@pytest.mark.steering(tasks=[...], arms=[...])` says what the fixture `comparison` compares.
- `evaluate(task, arm)` gives one record, `steered_model(method, task)` a model to ask yourself.
- `--steer-baseline FILE` judges every case by the gate's rules.

Nothing heavy is imported before the first case runs.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.cases.evals import Asked, Evaluator
    from harness.measuring.spec import Arm
    from reports import Comparison, Record

SUFFIX = ".eval.yaml"
PROPERTY = "steergauge"
SUITES = ("precision", "behavior_shift")
MARKERS = (
    "steering(tasks, suite, data, include_path, arms, seeds, budget, limit): what the fixture "
    "`comparison` compares",
    *(f"{suite}: a case of this suite" for suite in SUITES),
)


def _model(text: str) -> str:
    """Refuse arguments of a model that cannot be read, before anything runs."""
    if ":" in text:
        from harness.commands.values import key_values

        key_values(text.partition(":")[2])
    return text


def _truth(text: str) -> bool:
    from harness.commands.values import truth

    return truth(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flags."""
    group = parser.getgroup("steergauge", "evaluations of steering")
    group.addoption(
        "--steer-model", type=_model, default="reference", metavar="MODEL",
        help="reference, or hf:pretrained=HUB_ID_OR_FOLDER,dtype=... (default: reference)",
    )  # fmt: skip
    group.addoption(
        "--steer-chat-template", choices=("default", "always", "never", "auto"),
        help="put prompts into the chat template; as those of `steergauge compare`, and so are:",
    )  # fmt: skip
    group.addoption("--steer-system-instruction", metavar="TEXT", help="of every prompt")
    group.addoption(
        "--steer-fewshot-as-multiturn", type=_truth, metavar="BOOL", help="demonstrations as turns"
    )
    group.addoption(
        "--steer-frame", choices=("zero_shot", "paraphrase"),
        help="the baseline's prompting of rewriting tasks",
    )  # fmt: skip
    group.addoption("--steer-arms", metavar="NAME,...", help="arms of every case, instead of its")
    group.addoption(
        "--steer-baseline", type=Path, metavar="FILE", help="judge cases by `steergauge gate`"
    )
    group.addoption(
        "--steer-update", action="store_true", help="take what is measured over into the baseline"
    )
    group.addoption("--steer-json", type=Path, metavar="FILE", help="write every case's outcome")


def pytest_configure(config: pytest.Config) -> None:
    """Register markers, and what sums up in the process that reports."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    if config.getoption("steer_update") and not config.getoption("steer_baseline"):
        raise pytest.UsageError("--steer-update needs --steer-baseline FILE")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Summary(config), "steergauge-summary")


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is measured and by what it is judged."""
    judged = config.getoption("steer_baseline") or "none"
    return f"steergauge: model {config.getoption('steer_model')}, baseline {judged}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect evaluation files."""
    if file_path.name.endswith(SUFFIX):
        return EvalFile.from_parent(parent, path=file_path)
    return None


def evaluator_of(config: pytest.Config) -> Evaluator:
    """The model of this process and its records, which xdist's workers share on disk."""
    if KEY not in config.stash:
        from harness.cases.evals import Evaluator
        from harness.commands.options import quiet
        from harness.commands.values import key_values

        quiet()
        model, _, arguments = config.getoption("steer_model").partition(":")
        base = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        shared = base.parent if hasattr(config, "workerinput") else base
        config.stash[KEY] = Evaluator(model, key_values(arguments), shared / "steergauge")
    return config.stash[KEY]


KEY: pytest.StashKey[Evaluator] = pytest.StashKey()


class EvalFile(pytest.File):
    """One `*.eval.yaml`."""

    def collect(self) -> Iterable[pytest.Item]:
        """One case per task and arm."""
        from harness.cases.evals import Asked

        try:
            asked = _as_asked(self.config, Asked.read(self.path))
            cases = asked.cases(_model_of(self.config), _arms_of(self.config))
        except ValueError as problem:
            raise self.CollectError(str(problem)) from problem
        for task, arm, suite in cases:
            case = EvalCase.from_parent(
                self, name=f"{task}-{arm.name}", asked=asked, task=task, arm=arm, family=len(cases)
            )
            if suite in SUITES:
                case.add_marker(suite)
            if self.config.pluginmanager.hasplugin("xdist"):  # a task's cases share their searches
                case.add_marker(pytest.mark.xdist_group(f"{self.path.name} {task}"))
            yield case


class Failed(Exception):
    """A case that is not as it should be, in one line."""


class EvalCase(pytest.Item):
    """One task and arm, with all its seeds."""

    def __init__(self, *, asked: Asked, task: str, arm: Arm, family: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asked, self.task, self.arm, self.family = asked, task, arm, family

    def runtest(self) -> None:
        """Measure, and judge by the file's own figures and by the baseline."""
        from harness.cases.outcome import judged

        evaluator = evaluator_of(self.config)
        records = evaluator.measure(self.asked, (self.task,), [self.arm])
        path = self.config.getoption("steer_baseline")
        if self.config.getoption("steer_update"):
            path = None
        outcomes = judged(records, path, self.asked.at_least.get(self.arm.name), self.family)
        self.user_properties += [(PROPERTY, json.dumps(outcome)) for outcome in outcomes]
        bad = [f"{outcome['name']}: {outcome['text']}" for outcome in outcomes if outcome["failed"]]
        if bad:
            raise Failed("; ".join(bad))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """One line for what a user can mend, a traceback for the rest."""
        if isinstance(excinfo.value, Failed | ValueError):
            return " ".join(str(excinfo.value).split())
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the case."""
        return self.path, None, self.name


class Summary:
    """Gathers outcomes where reports arrive: table, JSON, baseline, vanished cases."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.outcomes: list[dict[str, Any]] = []
        self.unused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a case said."""
        if report.when == "call":
            said = [text for name, text in report.user_properties if name == PROPERTY]
            self.outcomes += [json.loads(str(text)) for text in said]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for; a baseline that no case used makes the run fail."""
        baseline = self.config.getoption("steer_baseline")
        whole = not _selected(self.config)
        if baseline and self.outcomes:
            from harness.cases import outcome

            self.unused = outcome.settle(
                baseline, self.outcomes,
                update=self.config.getoption("steer_update"), whole=whole,
            )  # fmt: skip
            if self.unused and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if path := self.config.getoption("steer_json"):
            from harness.cases import outcome

            outcome.write_json(path, self.outcomes)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show every case's number."""
        if not self.outcomes:
            return
        from harness.cases.outcome import table

        terminalreporter.section("steergauge")
        terminalreporter.write_line(table(self.outcomes))
        for name in self.unused:
            terminalreporter.write_line(
                f"FAIL  {name}: in the baseline, but no case; --steer-update drops it", red=True
            )


def _as_asked(config: pytest.Config, asked: Asked) -> Asked:
    """What is asked, with what the flags say about its wording."""
    flags = ("chat_template", "system_instruction", "fewshot_as_multiturn", "frame")
    said = {name: config.getoption(f"steer_{name}") for name in flags}
    return replace(asked, **{name: value for name, value in said.items() if value is not None})


def _model_of(config: pytest.Config) -> str:
    """The model's type: what stands before its arguments."""
    return str(config.getoption("steer_model").partition(":")[0])


def _arms_of(config: pytest.Config) -> tuple[str, ...]:
    """What --steer-arms says."""
    named = config.getoption("steer_arms")
    return tuple(named.split(",")) if named else ()


def _selected(config: pytest.Config) -> bool:
    """Whether only some cases were asked for: then the others have not vanished."""
    options = config.option
    named = any("::" in arg or arg.endswith(SUFFIX) for arg in config.args)
    chosen = [getattr(options, name, None) for name in ("keyword", "markexpr", "lf", "maxfail")]
    return named or any(chosen)


@pytest.fixture(scope="session")
def evaluate(pytestconfig: pytest.Config) -> Callable[..., Record]:
    """`evaluate(task, arm, seed=0, **asked) -> Record`: tuned, measured on the test split."""
    from harness.cases.evals import Asked

    def measured(task: str, arm: str, seed: int = 0, **asked: Any) -> Record:
        own = {**asked, "tasks": [task], "arms": [arm], "seeds": [seed]}
        plan = _as_asked(pytestconfig, Asked.of(own, "evaluate", pytestconfig.rootpath))
        evaluator = evaluator_of(pytestconfig)
        _, arms = plan.chosen(_model_of(pytestconfig))
        return evaluator.measure(plan, (task,), arms[-1:])[0]

    return measured


@pytest.fixture(scope="session")
def steered_model(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Lend the model, steered by a fitted vector.

    Inside `with steered_model("fv", "antonym", layer=3) as lm` lm is the steered lm-eval model.
    """
    from harness.cases.evals import Asked

    @contextmanager
    def steered(method: str, task: str, **settings: Any) -> Iterator[Any]:
        tuner = evaluator_of(pytestconfig).tuner(_as_asked(pytestconfig, Asked(tasks=(task,))))
        session = tuner.session
        fitted = tuner.fitter.fit(method, settings, session.examples(task))
        with session.lm.steer(fitted.vector):
            yield session.lm

    return steered


@pytest.fixture
def comparison(request: pytest.FixtureRequest) -> Comparison:
    """What `@pytest.mark.steering(...)` asks, measured and ready for `difference` and `cell`."""
    from harness.cases.evals import Asked
    from reports import Comparison

    marker = request.node.get_closest_marker("steering")
    if marker is None or marker.args:
        raise pytest.UsageError(
            "the fixture 'comparison' needs @pytest.mark.steering(tasks=[...], arms=[...])"
        )
    asked = Asked.of(dict(marker.kwargs), "marker steering", request.path.parent)
    asked = _as_asked(request.config, asked)
    tasks, arms = asked.chosen(_model_of(request.config), _arms_of(request.config))
    return Comparison(evaluator_of(request.config).measure(asked, tasks, arms))
