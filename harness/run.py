"""evaluate(specs) -> records: one arm on any number of tasks, through lm-eval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.utils import handle_non_serializable

from harness import behaviour
from harness.adapter import SteeredLM
from harness.chat import ChatExamples
from harness.dose import Gauge
from harness.fit import Fitted, Fitter, code_of
from harness.measurement import Document
from harness.model import identity
from harness.passes import ask
from harness.prompting import prompt
from harness.proof import describe
from harness.provenance import provenance
from harness.searches import Searches
from harness.sources import Sources
from harness.spec import Arm, RunSpec
from harness.trials import Trials
from harness.tune import BUDGET, Search
from reports import Metric, Record
from task_defs.behavior_shift.utils import classifier_report

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

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
    """

    metrics: dict[str, Metric]
    documents: list[Document]
    seconds: float
    proof: dict[str, float] | None
    lm_eval: dict[str, Any]


@dataclass
class Session:
    """One loaded model and what all measurements on it share.

    Attributes:
        lm: The model inside lm-eval.
        model: Its name on the command line.
        model_args: Its arguments on the command line.
        sources: Where tasks come from.
        limit: Ask only the first documents of every task; such a run is not a result.
        chat_template: Put prompts into the model's chat template.
        gen_kwargs: Added to every task's generation settings.
        out: Folder that keeps searches and the vectors that they chose.
        dose: Nats per token at which methods are compared; None tunes the coefficient instead.
    """

    lm: SteeredLM
    model: str
    model_args: dict[str, Any]
    sources: Sources
    limit: int | None = None
    chat_template: bool = False
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    dose: float | None = None

    def __post_init__(self) -> None:
        self.model_hash = identity(self.lm)
        kept = self.out and self.out / "vectors"
        self.fitter = Fitter(self.lm.model, self.lm.tokenizer, self.model_hash, kept)
        self.searches = Searches(self.out and self.out / "searches")
        self._asked: dict[tuple[str, str, int, int], ConfigurableTask] = {}
        self._thresholds: dict[str, float] = {}
        self._classifiers: dict[tuple[str, str, str], dict[str, Any]] = {}

    @cached_property
    def gauge(self) -> Gauge:
        """Measures doses on the model."""
        return Gauge(self.lm.model, self.lm.tokenizer)

    def spec(self, task: str, arm: Arm, seed: int = 0, budget: int = BUDGET) -> RunSpec:
        """Say what one measurement on this model is."""
        metadata = self.sources.metadata(task)
        few = "few_shot" in arm.prompting
        return RunSpec(
            model=self.model,
            model_args=self.model_args,
            model_hash=self.model_hash,
            task=task,
            suite=str(metadata.get("suite", "none")),
            task_hash=self.sources.fingerprint(task),
            arm=arm,
            seed=seed,
            shots=int(metadata.get("shots", 10)) if few else 0,
            budget=budget if arm.method else 0,
            limit=self.limit,
            chat_template=self.chat_template,
            gen_kwargs=self.gen_kwargs,
            dose=self.dose if arm.method else None,
            method_code=code_of(*filter(None, (arm.method, arm.matched))),
        )

    def search(self, spec: RunSpec) -> Search:
        """Find a method's settings on the validation split, once per task, seed and budget."""
        return self.searches.recall(spec, lambda: Trials(self, spec, str(spec.arm.tuned)).search())

    def task(self, spec: RunSpec, arm: Arm, split: str = "test") -> ConfigurableTask:
        """A fresh lm-eval task, prompted as an arm asks, its `split` as the documents asked."""
        task = self.sources.load(spec.task)
        prompt(task, arm.prompting, seed=spec.seed, shots=spec.shots)
        if split == "validation":
            task.set_config("test_split", task.config.validation_split)
        if self.gen_kwargs and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", self.gen_kwargs, update=True)
        return task

    def asked(self, spec: RunSpec) -> ConfigurableTask:
        """The task of a measurement: one object for all arms that share its prompts."""
        key = (spec.task, spec.arm.prompting, spec.seed, spec.shots)
        if key not in self._asked:
            self._asked[key] = self.task(spec, spec.arm)
        return self._asked[key]

    def headline(self, task: ConfigurableTask) -> tuple[str, bool]:
        """A task's headline metric and its direction."""
        directions = {**task.higher_is_better(), **dict.fromkeys(behaviour.ADDED, True)}
        metadata = task.config.metadata or {}
        name = str(metadata.get("headline") or next(iter(task.higher_is_better())))
        return name, bool(directions[name])

    def vector(self, spec: RunSpec) -> tuple[Fitted, dict[str, Any], Search]:
        """The vector of a steered arm, with the settings that its search chose."""
        found = self.search(spec)
        settings = {**found.chosen.settings, "seed": spec.seed}
        if spec.arm.method == "random_vector":
            settings = {"of": spec.arm.matched, "of_settings": settings, "seed": spec.seed}
        fitted = self.fitter.fit(
            str(spec.arm.method), settings, self.examples(spec.task), keep=True
        )
        return fitted, settings, found

    def examples(self, task: str) -> Examples:
        """What vectors are fitted on: a task's train split, worded as it is asked."""
        examples = self.sources.examples(task, "train")
        return ChatExamples(examples, self.lm) if self.chat_template else examples

    def evaluate(self, specs: Sequence[RunSpec]) -> list[Record]:
        """Measure an arm on tasks' test splits, all of them in one pass.

        Args:
            specs: Measurements that differ in their task only.
        """
        vectors = {spec.task: self.vector(spec) for spec in specs if spec.arm.method}
        tasks = {spec.task: self.asked(spec) for spec in specs}
        steering = {name: fitted.vector for name, (fitted, _, _) in vectors.items()}
        measured = self.measure(tasks, steering)
        none = (None, None, None)
        return [
            self._record(spec, tasks[spec.task], measured[spec.task], *vectors.get(spec.task, none))
            for spec in specs
        ]

    def _record(
        self,
        spec: RunSpec,
        task: ConfigurableTask,
        measured: Measured,
        fitted: Fitted | None,
        settings: dict[str, Any] | None,
        found: Search | None,
    ) -> Record:
        headline, _ = self.headline(task)
        return Record(
            run_id=spec.run_id,
            spec={**spec.as_json(), "settings": settings},
            metrics=measured.metrics,
            headline=headline,
            samples=measured.documents,
            fit=self._fit(fitted) if fitted else None,
            tuning=found.as_json() if found else None,
            proof=measured.proof,
            timings={
                "fit_s": fitted.seconds if fitted else None,
                "tune_s": found.seconds if found else None,
                "eval_s": measured.seconds,
                "ms_per_doc": 1000 * measured.seconds / len(measured.documents),
                "peak_memory_bytes": _peak_memory(),
            },
            provenance={
                **provenance(),
                "model_hash": self.model_hash,
                "task_hash": spec.task_hash,
                "classifier": self.classifier(task),
            },
            lm_eval=measured.lm_eval,
        )

    def _fit(self, fitted: Fitted) -> dict[str, Any]:
        vector = fitted.vector
        return {
            **describe(vector),
            "seconds": fitted.seconds,
            "bytes": vector.nbytes,
            "norm": vector.norm,
            "dose": asdict(self.gauge.measure(vector)),
        }

    def classifier(self, task: ConfigurableTask) -> dict[str, Any] | None:
        """What judges a task's outputs, measured on texts it has not seen; None for no one."""
        document = dict(task.eval_docs[0])
        if "classifier" not in document:
            return None
        asked = document["task"], document["classifier"], document["label"]
        if asked not in self._classifiers:
            name = document["classifier"] or "n-grams, logistic regression"
            facts = classifier_report(asked[0], asked[1] or None, asked[2] or None)
            self._classifiers[asked] = {"name": name, **facts}
        return self._classifiers[asked]

    def measure(
        self, tasks: Mapping[str, ConfigurableTask], vectors: Mapping[str, SteeringVector]
    ) -> dict[str, Measured]:
        """Ask tasks' test documents through lm-eval, those of one kind in one pass.

        Args:
            tasks: By name.
            vectors: By task; the others are measured unsteered.
        """
        found = {}
        for name, answers in ask(
            self.lm, tasks, vectors, limit=self.limit, apply_chat_template=self.chat_template
        ).items():
            task = tasks[name]
            documents = self.complete(task, [_document(sample) for sample in answers.samples])
            metrics = self._metrics(task, documents, answers.block)
            found[name] = Measured(
                metrics, documents, answers.seconds, answers.proof, _plain(answers.block)
            )
        return found

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
        for name, higher in task.higher_is_better().items():
            key = next((k for k in results if k.partition(",")[0] == name), None)
            if key is None:
                continue
            error = results.get(key.replace(name, f"{name}_stderr", 1))
            stderr = float(error) if isinstance(error, int | float) else None
            found[name] = Metric(float(results[key]), stderr, len(documents), bool(higher))
        added = (task.config.metadata or {}).get("added_by_harness") or ()
        for name in added:
            found[name] = mean([float(document[name]) for document in documents])
        return found


def mean(values: Sequence[float], higher_is_better: bool = True) -> Metric:
    """The mean of per-document values and its standard error (sample standard deviation)."""
    n = len(values)
    middle = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (n - 1)) if n > 1 else None
    error = None if spread is None else spread / math.sqrt(n)
    return Metric(middle, error, n, higher_is_better)


def _document(sample: dict[str, Any]) -> Document:
    """A line of lm-eval's samples, without what the task's file already says."""
    answer = sample["filtered_resps"][0]
    return {
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "input": sample["doc"].get("input", ""),
        "target": str(sample["target"]).strip(),
        "output": answer if isinstance(answer, str) else None,
        **{name: sample[name] for name in sample["metrics"]},
    }


def _peak_memory() -> int:
    """Peak of the accelerator's memory, or of this process where there is none."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's results block as plain JSON values."""
    return {
        key: value
        if isinstance(value, str | int | float | list | dict | None)
        else handle_non_serializable(value)
        for key, value in block.items()
    }
