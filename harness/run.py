"""evaluate(spec) -> Record: one measurement, through lm-eval."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.evaluator import evaluate as lm_eval_evaluate
from lm_eval.utils import handle_non_serializable

from harness import behaviour
from harness.adapter import SteeredLM
from harness.chat import ChatExamples
from harness.dose import Gauge
from harness.fit import Fitted, Fitter, source_of
from harness.measurement import Document, request_settings
from harness.model import identity
from harness.prompting import prompt
from harness.proof import describe
from harness.provenance import provenance
from harness.sources import Sources
from harness.spec import Arm, RunSpec
from harness.trials import Trials
from harness.tune import BUDGET, Search
from reports import Metric, Record
from steering import get
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
        seconds: Of lm-eval's evaluation.
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
        vectors: Folder that keeps the vectors of finished measurements.
        dose: Nats per token at which methods are compared; None tunes the coefficient instead.
    """

    lm: SteeredLM
    model: str
    model_args: dict[str, Any]
    sources: Sources
    limit: int | None = None
    chat_template: bool = False
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    vectors: Path | None = None
    dose: float | None = None

    def __post_init__(self) -> None:
        self.model_hash = identity(self.lm)
        self.fitter = Fitter(self.lm.model, self.lm.tokenizer, self.model_hash, self.vectors)
        self._searches: dict[tuple[str, str, int, int], Search] = {}
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
            method_code=_code(arm),
        )

    def search(self, spec: RunSpec) -> Search:
        """Find a method's settings on the validation split, once per task and seed."""
        method = str(spec.arm.tuned)
        key = (spec.task, method, spec.seed, spec.budget)
        if key not in self._searches:
            self._searches[key] = Trials(self, spec, method).search()
        return self._searches[key]

    def know(self, spec: RunSpec, found: Search) -> None:
        """Take over a search that an earlier run recorded."""
        self._searches[(spec.task, str(spec.arm.tuned), spec.seed, spec.budget)] = found

    def task(self, spec: RunSpec, arm: Arm, split: str = "test") -> ConfigurableTask:
        """A fresh lm-eval task, prompted as an arm asks, its `split` as the documents asked."""
        task = self.sources.load(spec.task)
        prompt(task, arm.prompting, seed=spec.seed, shots=spec.shots)
        if split == "validation":
            task.set_config("test_split", task.config.validation_split)
        if self.gen_kwargs and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", self.gen_kwargs, update=True)
        return task

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

    def evaluate(self, spec: RunSpec) -> Record:
        """Measure an arm on a task's test split."""
        fitted, settings, found = self.vector(spec) if spec.arm.method else (None, None, None)
        task = self.task(spec, spec.arm)
        measured = self.measure(task, fitted.vector if fitted else None)
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

    def measure(self, task: ConfigurableTask, vector: SteeringVector | None) -> Measured:
        """Ask a task's test documents through lm-eval, steered or not."""
        name = task.config.task
        started = time.perf_counter()
        with self.lm.steer(vector):
            results = self._ask(task)
            proof = dict(self.lm.proof) if vector is not None else None
        seconds = time.perf_counter() - started
        block = results["results"][name]
        documents = self.complete(task, [_document(sample) for sample in results["samples"][name]])
        metrics = self._metrics(task, documents, block)
        return Measured(metrics, documents, seconds, proof, _plain(block))

    def _ask(self, task: ConfigurableTask) -> dict[str, Any]:
        """lm-eval's own evaluation of one task."""
        name = task.config.task
        settings = request_settings(self.lm, self.chat_template)
        results = lm_eval_evaluate(
            self.lm,
            {"tasks": {name: task}, "groups": {}, "group_map": {}},
            limit=self.limit,
            bootstrap_iters=1000,
            apply_chat_template=settings["apply_chat_template"],
        )
        return dict(results or {})

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


def _code(arm: Arm) -> str | None:
    """12 hex digits over the files of an arm's methods: an edited method is measured anew."""
    methods = [name for name in (arm.method, arm.matched) if name]
    if not methods:
        return None
    digest = hashlib.sha256()
    for name in methods:
        digest.update(f"{name} {get(name).version} {source_of(name)}".encode())
    return digest.hexdigest()[:12]


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
