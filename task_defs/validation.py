"""Check task files, above all for what lm-eval passes over in silence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from task_defs.catalog import (
    BadTask,
    Config,
    defined,
    files,
    read,
    root,
    scan,
    tags,
)
from task_defs.examples_of import KEYS, pair_of, splits
from task_defs.groups import changed, circle, members
from task_defs.rendering import BadTemplate, Examples, Template, resolve
from task_defs.schema import wrong_value

RENDERED = 3
"""Documents rendered per split."""


@dataclass(frozen=True)
class Report:
    """What `validate` found in one YAML file; no findings means that it is sound."""

    path: Path
    name: str
    findings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: {'; '.join(self.findings) if self.findings else 'ok'}"


def _metrics(content: Config) -> list[str]:
    found, metadata = [], content.get("metadata")
    metadata = metadata or {}
    listed = {entry.get("metric"): entry for entry in content.get("metric_list") or []}
    headline = metadata.get("headline")
    if headline is None:
        found.append("no headline metric; name one as metadata.headline")
    elif headline not in listed and headline not in metadata.get("added_by_harness", ()):
        found.append(f"headline metric {headline!r} is not in metric_list")
    found += [
        f"metric {name!r} does not say higher_is_better"
        for name, entry in listed.items()
        if not isinstance(entry.get("higher_is_better"), bool)
    ]
    found += [f"metadata has no {key}" for key in ("suite", "version") if key not in metadata]
    return found


def _rendering(template: Template, name: str, part: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for number, document in enumerate(list(part)[:RENDERED]):
        place = f"{name} document {number}"
        try:
            x, y = pair_of(document)
            question = resolve(template.text, document)
            target = resolve(template.target, document)
            ours = Examples("", ((x, y),), 0, template)
            same = ours.prompt((), x), ours.target(y)
        except Exception as error:  # a template or a user's function can raise anything
            named = "" if isinstance(error, BadTemplate) else f"{type(error).__name__}: "
            found.append(f"{place}: cannot be rendered: {named}{error}")
            continue
        before = question + template.target_delimiter
        if not question.strip():
            found.append(f"{place}: the prompt is empty")
        if not target.strip():
            found.append(f"{place}: the target is empty")
        elif before[-1:].isspace() and (target[0].isspace() or before[-2:-1].isspace()):
            found.append(f"{place}: the space between prompt and target is doubled")
        if same != (
            resolve(template.description, document) + question,
            before[len(question) :] + target,
        ):
            found.append(f"{place}: the templates use more than the fields input and output")
    return found + _targets(template, name, list(part)[RENDERED:])


def _targets(template: Template, name: str, part: Sequence[Mapping[str, Any]]) -> list[str]:
    """Targets that cannot be scored, beyond the documents that are rendered whole."""
    wrong: dict[str, list[int]] = {}
    for number, document in enumerate(part, RENDERED):
        try:
            if not resolve(template.target, document).strip():
                wrong.setdefault("are empty", []).append(number)
        except Exception:  # a template or a user's function can raise anything
            wrong.setdefault("cannot be rendered", []).append(number)
    return [
        f"{len(places)} more targets of {name} {what}, the first in document {places[0]}"
        for what, places in wrong.items()
    ]


def _straddling(parts: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    found = []
    for one, other in combinations(parts, 2):
        inputs = {x for x, _ in parts[other]}
        mirrored = set(parts[other])
        shared = [x for x, y in parts[one] if x in inputs or (y, x) in mirrored]
        if shared:
            found.append(f"{one} and {other} share {len(shared)} inputs, for example {shared[0]!r}")
    for name, pairs in parts.items():
        if len(set(pairs)) < len(pairs):
            found.append(f"{name} holds {len(pairs) - len(set(pairs))} duplicates")
    return found


def _of_pairs(loaded: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Whether documents are inputs with their outputs, as those of the suites are."""
    first = next((part[0] for part in loaded.values() if len(part)), {})
    return {"input", "output"} <= set(first)


def _of_any_kind(content: Config, loaded: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What is wrong with a task of lm-eval's kind that is none of the suites'."""
    given = {key: str(content[key]) for key in KEYS.values() if content.get(key)}
    found = [
        f"the split {name!r} is {'empty' if name in loaded else 'missing'} ({key})"
        for key, name in given.items()
        if not len(loaded.get(name, ()))
    ]
    if not content.get("test_split") and not content.get("validation_split"):
        found.append("neither test_split nor validation_split: nothing would be asked")
    every = (content.get(key) for key in ("doc_to_text", "doc_to_target", "doc_to_choice"))
    words = [each for each in every if isinstance(each, str) or callable(each)]
    for name in dict.fromkeys(given.values()):
        for number, document in enumerate(list(loaded.get(name, ()))[:RENDERED]):
            try:
                for template in words:
                    resolve(template, document)
            except BadTemplate as error:
                found.append(f"{name} document {number}: cannot be rendered: {error}")
    return found


def _task(path: Path) -> list[str]:
    content = read(path, functions=True)
    content["metadata"] = (content.get("metadata") or {}) | {"config_source": str(path)}
    missing = [key for key in ("doc_to_text", "doc_to_target", "output_type") if key not in content]
    if missing:
        return [*_metrics(content), *(f"no {key}" for key in missing)]
    if "suite" not in content["metadata"] and not _of_pairs(loaded := splits(content)):
        return _of_any_kind(content, loaded)
    found = _metrics(content)
    if any(key.startswith("doc_to") for key in content.get("fewshot_config") or {}):
        found.append("fewshot_config words demonstrations anew, which fitting does not follow")
    template, loaded = Template.of(content), splits(content)
    parts = {}
    for name, key in KEYS.items():
        part = loaded.get(content.get(key) or "")
        if part is None or not len(part):
            found.append(f"the {name} split is {'missing' if part is None else 'empty'} ({key})")
            continue
        found += _rendering(template, name, part)
        parts[name] = [pair_of(document) for document in part]
    if content["output_type"] == "loglikelihood" and template.target_delimiter:
        found.append(
            f"target_delimiter {template.target_delimiter!r} is left out of what lm-eval scores; "
            'put it into doc_to_target and set target_delimiter: ""'
        )
    if content.get("fewshot_split") != content.get("training_split"):
        found.append("fewshot_split is not the training split")
    shots = content["metadata"].get("shots", 0)
    if len(parts.get("train", ())) <= shots:
        found.append(f"{len(parts.get('train', ()))} train pairs are too few for {shots} shots")
    return found + _straddling(parts)


def _group(content: Config, known: Mapping[str, Path]) -> list[str]:
    found, listed = [], changed(content)
    names = [name for name, _ in listed]
    way = circle(str(content["group"]), lambda name: _members_of(name, known))
    if way:
        found.append(f"the groups {' > '.join(way)} are in a circle; take one out of another")
    if not names:
        found.append("the group has no tasks")
    found += [f"no task named {name!r}" for name in names if name not in known]
    found += [
        f"{name} is a member twice with different settings; lm-eval keeps the last one alone"
        for place, (name, own) in enumerate(listed)
        if any(name == other and own != more for other, more in listed[:place])
    ]
    averaged = content.get("aggregate_metric_list") or []
    metrics = [e["metric"] for e in (averaged if isinstance(averaged, list) else [averaged])]
    for name, changes in listed:
        if reason := wrong_value(changes):
            found.append(f"settings of {name}: {reason}")
            continue
        given = {**read(known[name]), **changes}.get("metric_list") or [] if name in known else []
        own = {entry.get("metric") for entry in given}
        found += [
            f"metric {metric!r} is averaged over the group but {name} lacks it"
            for metric in metrics
            if name in known and own and metric not in own
        ]
    return found


def _members_of(name: str, known: Mapping[str, Path]) -> Sequence[str]:
    return members(read(known[name])) if name in known else ()


def validate(include_path: str | Path | None = None) -> list[Report]:
    """Parse each YAML file of a folder, render three documents per split and say what is wrong.

    Args:
        include_path: The folder; the built-in tasks by default.
    """
    folder = Path(include_path) if include_path else root()
    if not folder.is_dir():
        raise BadTask(f"{folder}: no such folder; give a folder that holds tasks")
    known, reports, seen = defined() | scan(folder)[0], [], dict[str, Path]()
    for path in files(folder):
        name, found = str(path.relative_to(folder)), []
        try:
            content = read(path)
            label = content.get("group", content.get("task"))
            if isinstance(label, str):
                if label in seen:
                    found.append(
                        f"{label!r} is defined in {seen[label].name} too; lm-eval skips this"
                    )
                seen.setdefault(label, path)
                found += [
                    f"the tag {tag!r} is the name in {known[tag].name} too; rename one of them"
                    for tag in tags(content)
                    if tag in known
                ]
                seen = dict.fromkeys(tags(content), path) | seen
                found += _group(content, known) if "group" in content else _task(path)
            elif not path.name.startswith("_"):
                found.append(
                    "neither task nor group; lm-eval skips it (begin a base's name with _)"
                )
        except BadTask as error:
            found.append(str(error))
        except Exception as error:  # whatever a user's own function raises belongs in the report
            found.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
        reports.append(Report(path, name, tuple(found)))
    if not reports:
        raise BadTask(f"{folder}: no YAML files; give a folder that holds tasks")
    return reports
