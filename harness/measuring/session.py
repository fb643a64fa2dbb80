"""A loaded model and its tasks: documents are measured under vectors that are given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.lm.adapter import SteeredLM
from harness.lm.loading import identity
from harness.lm.wording import PLAIN, Worded, Wording, opening
from harness.measuring import behaviour, scores
from harness.measuring.asking import Asking
from harness.measuring.code import code_of
from harness.measuring.documents import documents_of, mean, plain
from harness.measuring.dose import Gauge
from harness.measuring.first_token import TOP, one_answer
from harness.measuring.judging import Judging
from harness.measuring.manner import Manner
from harness.measuring.measurement import Document, Measurement
from harness.measuring.passes import ask
from harness.measuring.prompting import prompt, question
from harness.measuring.rounds import Rounds, in_rounds
from harness.measuring.sources import Sources
from harness.measuring.spec import BASELINE, BUDGET, SCORED_BUDGET, Arm, RunSpec, resolved
from reports import Metric
from steering import resolve

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

    from harness.measuring.parts import Part
    from steering import Examples, SteeringVector


@dataclass(frozen=True)
class Measured:
    """A task's answers under one steering.

    Attributes:
        metrics: By name.
        documents: One mapping per document.
        seconds: Of lm-eval's evaluation: of a pass over several tasks, this one's share by the
            number of documents.
        proof: That steering did something; None where nothing steered.
        lm_eval: lm-eval's own results block.
        unfit: As in `passes.Answers`.
    """

    metrics: dict[str, Metric]
    documents: list[Document]
    seconds: float
    proof: dict[str, float] | None
    lm_eval: dict[str, Any]
    unfit: dict[str, int]


@dataclass
class Session:
    """One loaded model and what all measurements on it share.

    Attributes:
        lm: The model inside lm-eval.
        model: Its name on the command line.
        model_args: Its arguments on the command line.
        sources: Where tasks come from.
        limit: Ask only the first documents of every task; such a run is not a result.
        asking: How tasks are asked: frame, chat template, system prompt.
        gen_kwargs: Added to every task's generation settings.
        max_memory: Bytes that a branched pass may take; None leaves it to `steering`.
        metric: The headline metric of every task; None takes each task's own.
        beside: Metrics that are measured beside the tasks' own (`first_token.TOP`).
    """

    lm: SteeredLM
    model: str
    model_args: dict[str, Any]
    sources: Sources
    limit: int | None = None
    asking: Asking = field(default_factory=Asking)
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    max_memory: int | None = None
    metric: str | None = None
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.model_hash = identity(self.lm)
        self.manner = Manner(self.lm, self.sources, self.asking, self._few_shot_score)
        self._asked: dict[tuple[str, str, int, int, Part], ConfigurableTask] = {}
        self._thresholds: dict[str, float] = {}
        self.judging = Judging(self.sources.judges[1:], encoder=self.sources.encoder)
        protocol = self.sources.protocol
        self.beside = (*self.beside, *(protocol.beside if protocol else ()))
        self.opening = opening(self.lm) if protocol and protocol.opening else ""

    @cached_property
    def gauge(self) -> Gauge:
        """Measures doses on the model."""
        return Gauge(self.lm.model, self.lm.tokenizer)

    def spec(
        self,
        task: str,
        arm: Arm,
        seed: int = 0,
        budget: int | None = None,
        dose: float | None = None,
    ) -> RunSpec:
        """Say what one measurement on this model is.

        Args:
            task: Its name.
            arm: How it is asked.
            seed: Of everything that is drawn.
            budget: Configurations searched; None takes as many as this kind of task bears.
            dose: Nats per token at which methods are compared; each configuration's coefficient is
                then solved for in passes of its own.
        """
        cheap = dose is None and self.sources.gives_answers(task)
        budget = budget or (SCORED_BUDGET if cheap else BUDGET)
        metadata = self.sources.metadata(task)
        frame, wording = self.manner.frame(task), self.manner.wording(task)
        suite = str(metadata.get("suite", "none"))
        arm = self._given(resolved(arm, frame), suite)
        budget = arm.configurations if arm.given else budget
        few = "few_shot" in arm.prompting
        return RunSpec(
            model=self.model,
            model_args=self.model_args,
            model_hash=self.model_hash,
            task=task,
            suite=suite,
            task_hash=self.sources.fingerprint(task),
            arm=arm,
            seed=seed,
            shots=self.sources.shots(task) if few else 0,
            budget=budget if arm.tuned else 0,
            limit=self.limit,
            frame=frame,
            **asdict(wording),
            gen_kwargs=self.gen_kwargs,
            dose=dose if arm.method else None,
            metric=self.metric,
            beside=self.beside,
            opening=self.opening,
            fit_on=self._fit_on(task) if arm.method else None,
            templates=self.manner.templates(task, arm),
            method_code=code_of(*filter(None, (arm.method, arm.matched))),
        )

    def _given(self, arm: Arm, suite: str) -> Arm:
        """An arm with the settings that a protocol gives it."""
        protocol = self.sources.protocol
        if protocol is None or arm.owner is None:
            return arm
        shape = astuple(resolve(self.lm.model).shape)
        return replace(arm, given=protocol.given(suite, arm.owner, shape))

    def asks(self, task: str, arm: Arm) -> bool:
        """Whether an arm is measured on a task: under a protocol, where the paper did."""
        protocol = self.sources.protocol
        return protocol is None or protocol.asks(
            str(self.sources.metadata(task)["suite"]), arm.name
        )

    def side(self, spec: RunSpec, task: str) -> RunSpec:
        """The measurement of an arm's vector on another task than the one that it is made for.

        Args:
            spec: The measurement that the vector is made for.
            task: What is asked, as its own baseline asks it.
        """
        asked = self.spec(task, Arm(BASELINE, BASELINE))
        content = f"{asked.task_hash} {asked.frame} {self.manner.wording(task)} every document"
        digest = hashlib.sha256(content.encode()).hexdigest()
        return replace(spec, side=task, side_hash=digest[:12], templates=())

    def _fit_on(self, task: str) -> str | None:
        """Names the examples of another task, where vectors are fitted on those."""
        other = self.sources.fitted_on(task)
        return None if other == task else f"{other} {self.sources.fingerprint(other)}"

    def task(self, spec: RunSpec, arm: Arm, part: Part = "result") -> ConfigurableTask:
        """A fresh lm-eval task, prompted as an arm asks, its documents those of a part."""
        task = self.sources.load(spec.task, part)
        prompt(
            task, arm.prompting, seed=spec.seed, shots=spec.shots, chat=spec.chat_template,
            opening=self.opening,
        )  # fmt: skip
        if self.gen_kwargs and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", self.gen_kwargs, update=True)
        return task

    def asked(self, spec: RunSpec) -> ConfigurableTask:
        """The task of a measurement: one object for all arms that share its prompts."""
        part: Part = "every" if spec.side else "result"  # nothing is tuned on a side task
        spec = self.spec(spec.side, Arm(BASELINE, BASELINE)) if spec.side else spec
        key = (spec.task, spec.arm.prompting, spec.seed, spec.shots, part)
        if key not in self._asked:
            self._asked[key] = self.task(spec, spec.arm, part)
        return self._asked[key]

    def headline(self, task: ConfigurableTask, *, own: bool = False) -> tuple[str, bool]:
        """A task's headline metric, under one filter, and its direction.

        The metric asked for, else the one that the task's metadata names, else its first one;
        under its first filter where the name says none.

        Args:
            task: The task.
            own: Whatever metric was asked for, since that was said of other tasks.

        Raises:
            UsageError: the task has no such metric.
        """
        metadata = task.config.metadata or {}
        added = dict.fromkeys(metadata.get("added_by_harness") or (), True)
        ranked = dict.fromkeys(TOP if self.ranks(task) else (), True)
        known = {**scores.directions(task), **added, **ranked}
        wanted = (None if own else self.metric) or metadata.get("headline") or next(iter(known))
        for name in (wanted, *known):
            if name in known and wanted in (name, name.partition(",")[0]):
                return str(name), known[name]
        raise UsageError(
            f"task {task.config.task!r} has no metric {wanted!r}; its metrics: {', '.join(known)}"
        )

    def ranks(self, task: ConfigurableTask) -> bool:
        """Whether it is asked how the first token of a task's given answers ranks."""
        return bool({self.metric, *self.beside} & {*TOP}) and one_answer(task)

    def examples(self, task: str) -> Examples:
        """What vectors are fitted on: a task's train split, worded as it is asked."""
        other, wording = self.sources.fitted_on(task), self.manner.wording(task)
        frame, chat = self.manner.frame(other), wording.chat_template
        told = self.sources.examples(other, "train")
        if text := question(other, self.manner.metadata(other), frame, chat=chat):
            told = told.reworded(text)
        if self.opening:
            told = told.opened(self.opening)
        return told if wording == PLAIN else Worded(told, wording, self.lm)

    def _few_shot_score(self, task: str, wording: Wording) -> float:
        """The headline of few-shot answers on validation, unsteered; higher is better."""
        asked = self.sources.load(task, "tuning")
        prompt(
            asked, "few_shot", seed=0, shots=self.sources.shots(task), chat=wording.chat_template
        )
        name, higher_is_better = self.headline(asked)
        ranked = self.ranks(asked)
        with self.lm.steer(None):
            documents = Measurement(
                self.lm, asked, limit=self.limit, wording=wording, ranked=ranked
            ).ask()
        documents = self.complete(asked, documents)
        value = mean([float(v) for each in documents if (v := each[name]) is not None]).value
        return value if higher_is_better else -value

    def measure(
        self,
        tasks: Mapping[str, ConfigurableTask],
        vectors: Mapping[str, SteeringVector],
        seed: int = 0,
    ) -> dict[str, Measured]:
        """Ask tasks' test documents through lm-eval, those of one kind in one pass.

        Args:
            tasks: By name.
            vectors: By task; the others are measured unsteered.
            seed: Of sampled answers.
        """
        self.lm.sampling_seed = seed
        found = {}
        wordings = {name: self.manner.wording(name) for name in tasks}
        for name, answers in ask(
            self.lm, tasks, vectors, limit=self.limit, wordings=wordings
        ).items():
            task = tasks[name]
            documents = self.complete(
                task, documents_of(task, answers.samples, ranked=self.ranks(task))
            )
            documents = self.judging.complete(task, documents)
            metrics = self._metrics(task, documents, answers.block)
            found[name] = Measured(
                metrics,
                documents,
                answers.seconds,
                answers.proof,
                plain(answers.block),
                answers.unfit,
            )
        return found

    def rounds(
        self, specs: Sequence[RunSpec], vectors: Mapping[str, SteeringVector]
    ) -> dict[str, Rounds]:
        """Time an arm beside its baseline on the same documents, by task.

        Args:
            specs: Measurements that differ in their task only.
            vectors: By task.
        """
        tasks = {spec.task: self.asked(spec) for spec in specs}
        bare = {
            spec.task: self.asked(replace(spec, arm=Arm(spec.frame, spec.frame), shots=0))
            for spec in specs
        }
        plain = bare if vectors or bare != tasks else None
        wordings = {name: self.manner.wording(name) for name in tasks}
        return in_rounds(self.lm, tasks, plain, vectors, limit=self.limit, wordings=wordings)

    def complete(self, task: ConfigurableTask, documents: list[Document]) -> list[Document]:
        """Add what only the unsteered model can say: fluency, and with it the joint score."""
        added = (task.config.metadata or {}).get("added_by_harness") or ()
        if "fluency" not in added:
            return documents
        name = task.config.task
        model, tokenizer = self.lm.model, self.lm.tokenizer
        if name not in self._thresholds:
            references = [y for _, y in self.sources.examples(name, "train").pairs]
            self._thresholds[name] = behaviour.fluency_threshold(model, tokenizer, references)
        return behaviour.score_documents(
            documents, model=model, tokenizer=tokenizer, threshold=self._thresholds[name]
        )

    def _metrics(
        self, task: ConfigurableTask, documents: Sequence[Document], results: dict[str, Any]
    ) -> dict[str, Metric]:
        """lm-eval's aggregates, and the means of what was added to the documents."""
        found = {}
        for name, higher in scores.directions(task).items():
            metric, _, own = name.partition(",")
            filter_name = own or scores.filters(task)[0]
            if f"{metric},{filter_name}" not in results:
                continue
            value = float(results[f"{metric},{filter_name}"])
            error = results.get(f"{metric}_stderr,{filter_name}")
            own_spread = mean([v for d in documents if (v := d.get(name)) is not None])
            stderr = float(error) if isinstance(error, int | float) else own_spread.stderr
            found[name] = Metric(value, stderr, own_spread.n, higher)
        added = (task.config.metadata or {}).get("added_by_harness") or ()
        for name in (*added, *self.judging.added, *TOP):
            if name in documents[0]:
                found[name] = mean([float(document[name]) for document in documents])
        return found
