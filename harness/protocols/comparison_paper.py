"""How both methods were compared (Brumley et al. 2024, arXiv:2411.07213)."""

from __future__ import annotations

from harness.protocols.fv_paper import (
    FUNCTION_VECTOR,
    MIRRORED,
    SIX,
    SPLITS,
    WHOLE,
    a_third,
    two_percent,
)
from harness.protocols.protocol import Part, Protocol, Settings, said
from task_defs.precision import generated

GENERATE = "utils/eval_utils.py, batched_generate"
PROMPTS = "utils/setup_utils.py, setup_test_prompts"
DECODING = {"do_sample": True, "temperature": 0.1, "top_p": 0.9, "max_gen_toks": 16, "until": []}

WORDED: Settings = {
    "doc_to_text": said(PROMPTS, "Q: {{input}}\nA:"),
    "target_delimiter": said(PROMPTS, " "),
    "fewshot_delimiter": said(PROMPTS, "\n\n"),
    "generation_kwargs": said(GENERATE, DECODING),
    "dataset_kwargs.largest": said(SPLITS, WHOLE),
}

FV: Settings = {
    **FUNCTION_VECTOR,
    "layer": said("utils/setup_utils.py, get_fv_params", a_third),
    "top_heads": said("utils/setup_utils.py, get_fv_params", two_percent),
}


def icv(contrast: str, source: str) -> Settings:
    """The twenty settings that the paper tried."""
    return {
        "pairs": said("functional_experiment.py: --demos", 50, 100, 150, 5),
        "coefficient": said(
            "functional_experiment.py: --alphas, a tenth of them is added",
            0.07, 0.1, 0.13, 0.15, -0.1,
        ),
        "direction": said("icv/tasks/base.py", "mean_plus_pc1"),
        "last_k": said("icv/tasks/base.py: the last four tokens", 4),
        "contrast": said(source, contrast),
        "positions": said("utils/icv_utils.py", "all"),
    }  # fmt: skip


BIAS = {"fv": {"projection_bias": said("compute_function_vector: its bias once per head", True)}}

PROTOCOL = Protocol(
    name="comparison-paper",
    paper="Brumley et al. 2024, arXiv:2411.07213",
    code="madbrum/steering-eval",
    parts={
        "precision": Part(
            tasks=SIX,
            arms=(
                "zero_shot", "shuffled_few_shot", "fv", "icv", "fv@shuffled_few_shot",
                "icv@shuffled_few_shot",
            ),
            task={
                **WORDED,
                "output_type": said(GENERATE, "generate_until"),
                "doc_to_choice": said(GENERATE, None),
                "metadata.shots": said("functional_experiment.py: --shots 0 3, shuffled", 3),
                "metadata.headline": said("functional_experiment.py: metrics", "first_word"),
                "process_results": said("utils/eval_utils.py", generated.process_results),
                "metric_list": said("functional_experiment.py: metrics", generated.METRICS),
            },
            methods={
                "fv": FV,
                "icv": icv(
                    "off_task", "utils/setup_utils.py, create_demonstration_set: other words as y"
                ),
            },
        ),
        "behavior_shift": Part(
            tasks=("detoxification", "sentiment_transfer"),
            arms=("zero_shot", "fv", "icv"),
            task={
                **WORDED,
                "metadata.headline": said("behavioral_experiment.py: metrics", "attribute"),
            },
            methods={
                "fv": FV,
                "icv": icv("pairs", "utils/setup_utils.py, create_demonstration_set_natural_text"),
            },
        ),
    },
    defects={
        "precision": Part(task=MIRRORED, methods=BIAS),
        "behavior_shift": Part(methods=BIAS),
    },
    opening=True,
    departures=(
        "Of the in-context vector's twenty settings one is chosen on validation; the paper shows "
        "all twenty, and the function vector at one.",
        "Every arm decodes alike; the paper samples everywhere but under the function vector.",
        "What is scored is what was written after the prompt; the paper's code scores the last 16 "
        "tokens, which are the prompt's where an answer ends early. This is not reproduced even "
        "as published.",
        "Styles are judged by the judge of --judge, the paper by ParlAI's classifier of offence "
        "and siebert/sentiment-roberta-large-english (--judge hf:MODEL:LABEL).",
        "What stands against the right answer in the in-context vector's contrast is another "
        "question's answer; the paper takes texts of another model.",
        "The natural-text suite and the ablation over sets of layers are left out.",
    ),
)  # fmt: skip
