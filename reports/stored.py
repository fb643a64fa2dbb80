"""What a record is on disk, as a schema: every value that a report reads has its type.

Keys that only say how something came about may be added freely.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from reports.foreign import printable

SCHEMA = 1

OPEN = ConfigDict(extra="allow", allow_inf_nan=False)
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Ge(0)]
LARGEST = 1e100
"""What is beyond is no measurement, and its square no number."""

Real = Annotated[float, Ge(-LARGEST), Le(LARGEST)]
Number = Real | None
Duration = Annotated[float, Ge(1e-12), Le(1e12)]


def _rectangular(rows: list[list[Number]]) -> list[list[Number]]:
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError("expected rows of one length")
    return rows


def _printable(name: str) -> str:
    if printable(name) != name:
        raise ValueError("control characters in a name")
    return name


Name = Annotated[str, Len(1, 300), AfterValidator(_printable)]


class StoredMetric(TypedDict):
    """`reports.record.Metric`; null is NaN."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    value: Number
    stderr: Number
    n: Count
    higher_is_better: bool


class StoredArm(TypedDict):
    """`harness.measuring.spec.Arm`."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: Name
    prompting: str
    method: str | None
    matched: NotRequired[str | None]


class StoredSpec(TypedDict):
    """`harness.measuring.spec.RunSpec`, with the chosen settings."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    model: str
    model_args: NotRequired[dict[str, Any] | None]
    model_hash: str
    task: Name
    suite: Name
    arm: StoredArm
    seed: int
    budget: int
    limit: NotRequired[int | None]
    side: NotRequired[Name | None]


class StoredSample(TypedDict):
    """One document with its metrics."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    doc_id: Count
    doc_hash: str
    input: NotRequired[Any]
    target: NotRequired[Any]
    output: NotRequired[str | None]
    templates: NotRequired[list[Number]]


class SamplesFile(TypedDict):
    """The file beside the record."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    file: str
    n: Annotated[int, Ge(1)]
    sha256: str


class StoredDose(TypedDict):
    """`harness.measuring.dose.Dose`; earlier versions knew no norms."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kl: Number
    shift: Number
    moved: NotRequired[Number]
    norm: NotRequired[Number]
    perplexity_ratio: NotRequired[Number]


class StoredReliability(TypedDict):
    """What `steering.reliability` says of a fit."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    cosine: Number
    separation: Number


class FitFacts(TypedDict):
    """What a vector says of its making; `raw_at_1`: the raw strength of a relative one of 1."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    raw_at_1: NotRequired[Number]
    reliability: NotRequired[StoredReliability]
    effects: NotRequired[Annotated[list[list[Number]], AfterValidator(_rectangular)] | None]
    heads: NotRequired[list[Annotated[list[Count], Len(2, 2)]] | None]


class StoredResponse(TypedDict):
    """`harness.measuring.response.Response`."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    slopes: list[Number]


class StoredFit(TypedDict):
    """The vector of an arm."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    bytes: Count
    norm: NotRequired[Number]
    coefficient: NotRequired[Number]
    unit: NotRequired[str]
    dose: NotRequired[StoredDose]
    response: NotRequired[StoredResponse | None]
    provenance: NotRequired[FitFacts]


class StoredTrial(TypedDict):
    """One configuration of a search."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    settings: dict[str, Any]
    score: Number
    seconds: NotRequired[Number]
    error: NotRequired[str | None]
    metrics: NotRequired[dict[str, Number] | None]
    logprob: NotRequired[Number]


class StoredTuning(TypedDict):
    """A whole search."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    trials: list[StoredTrial]
    chosen: dict[str, Any]
    higher_is_better: bool
    budget: int
    documents: Count
    space: NotRequired[dict[str, Any]]
    edges: NotRequired[dict[str, Literal["lowest", "highest"]]]
    unsteered: NotRequired[dict[str, Number] | None]
    unfit: NotRequired[dict[str, Count]]


class StoredRounds(TypedDict):
    """Rounds in which an arm and its baseline answer the same documents."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    documents: Annotated[int, Ge(1)]
    own_s: Annotated[list[Duration], Len(1)]
    plain_s: list[Duration] | None


def _paired(rounds: StoredRounds) -> StoredRounds:
    if rounds["plain_s"] is not None and len(rounds["plain_s"]) != len(rounds["own_s"]):
        raise ValueError("expected as many rounds of the baseline as of the arm")
    return rounds


class StoredTimings(TypedDict):
    """Seconds and bytes."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    fit_s: NotRequired[Number]
    tune_s: NotRequired[Number]
    eval_s: NotRequired[Number]
    ms_per_doc: NotRequired[Number]
    peak_memory_bytes: NotRequired[Number]
    rounds: NotRequired[Annotated[StoredRounds, AfterValidator(_paired)] | None]


class StoredAccuracy(TypedDict):
    """How well a judge of style knows it on some texts."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    accuracy: Real


class StoredOutside(StoredAccuracy):
    """The same on texts from elsewhere."""

    files: list[str]


class StoredJudge(StoredAccuracy):
    """A judge of style."""

    name: str
    outside: NotRequired[StoredOutside | None]


class StoredJudges(StoredJudge):
    """The first judge of a task, and the others."""

    others: NotRequired[list[StoredJudge]]


class StoredAsking(TypedDict):
    """How a task's prompts were put to the model."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    chat_template: bool
    why: str


class StoredProvenance(TypedDict):
    """What else must be known to repeat a number."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    date: NotRequired[str | None]
    versions: NotRequired[dict[str, Any] | None]
    host: NotRequired[dict[str, Any] | None]
    classifier: NotRequired[StoredJudges | None]
    asked: NotRequired[StoredAsking]
    unfit: NotRequired[dict[str, Count]]


class StoredRecord(TypedDict):
    """`record.json`."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]
    schema: Literal[1]
    run_id: Name
    spec: StoredSpec
    metrics: dict[Name, StoredMetric]
    headline: Name
    samples: SamplesFile
    fit: StoredFit | None
    tuning: StoredTuning | None
    proof: dict[str, Any] | None
    timings: StoredTimings
    provenance: StoredProvenance
    lm_eval: dict[str, Any]


def _measured(content: StoredRecord) -> StoredRecord:
    if content["headline"] not in content["metrics"]:
        raise ValueError(f"the headline {content['headline'][:40]!r} is no metric of it")
    return content


RECORD: TypeAdapter[StoredRecord] = TypeAdapter(Annotated[StoredRecord, AfterValidator(_measured)])
SAMPLE: TypeAdapter[StoredSample] = TypeAdapter(StoredSample)
