"""How near a rewrite is to its references by BLEU and ROUGE, beside the suite's own metrics.

The in-context vector paper reports them (arXiv:2311.06668). They reward an output that leaves the
text as it is, so that they are measured only where its protocol is asked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from task_defs.behavior_shift import utils

ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
"""Metrics by name, with what `rouge_score` calls them."""

LOWER = ("empty", "copy", "repetition")
OWN = ("attribute", "content", "content_source", "exact", *LOWER, "entropy", "dist_1", "dist_2")
METRICS = [
    {"metric": name, "aggregation": "mean", "higher_is_better": name not in LOWER}
    for name in (*OWN, "bleu", *ROUGE)
]
"""A task's metric_list."""


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Return a document's metrics from its one generated output; of several references the best.

    Returns:
        Those of `utils.process_results`; `bleu`: sentence BLEU (smoothed), 0 to 1; `rouge_1`,
        `rouge_2`, `rouge_l`: F of ROUGE, 0 to 1.
    """
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]
    from sacrebleu import sentence_bleu

    output = str(results[0]).strip()
    wanted = list(doc.get("references") or [doc["output"]])
    scored = [RougeScorer(list(ROUGE.values())).score(each, output) for each in wanted]
    return {
        **utils.process_results(doc, results),
        "bleu": sentence_bleu(output, wanted).score / 100,
        **{name: max(each[own].fmeasure for each in scored) for name, own in ROUGE.items()},
    }
