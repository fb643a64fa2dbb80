"""How function vectors were measured (Todd et al., ICLR 2024, arXiv:2310.15213)."""

from __future__ import annotations

import math

from harness.protocols.protocol import Part, Protocol, said

WHOLE = 10**6
"""Documents of a test split that is not cut."""


def a_third(n_layers: int, _heads: int, _width: int) -> int:
    """The edited block: ceil(L / 3)."""
    return min(math.ceil(n_layers / 3), n_layers - 1)


def two_percent(n_layers: int, n_heads: int, _width: int) -> int:
    """The number of heads: ceil(L * H / 51.2), which is 20 of Llama-2-7B's 1,024."""
    return math.ceil(n_layers * n_heads / 51.2)


SIX = (
    "antonym", "capitalize", "country-capital", "english-french", "present-past",
    "singular-plural",
)  # fmt: skip
"""The tasks of the paper's main table."""

METHOD, RESULTS = "arXiv:2310.15213, section 2.3", "arXiv:2310.15213, section 3"
SPLITS = "prompt_utils.load_dataset: two splits of 0.3, which are 70 / 21 / 9 %, nothing cut"
EVALUATE = "evaluate_function_vector.py"
TEMPLATE = "prompt_utils: prefixes and separators"

FUNCTION_VECTOR = {
    "shots": said(f"{EVALUATE}: n_shots", 10),
    "mean_prompts": said("compute_average_activations.py: n_trials", 100),
    "effect_prompts": said("compute_indirect_effect.py: n_trials", 25),
    "target": said("compute_indirect_effect.py: the first token of the answer", "first_token"),
    "top_heads": said(f"{METHOD}: in proportion to the model's number of heads", two_percent),
    "projection_bias": said(f"{METHOD}: the sum of what heads write, without a bias", False),
    "layer": said(f"{RESULTS}: about a third of the depth", a_third),
    "coefficient": said(f"{RESULTS}: the vector itself is added", 1.0),
    "unit": said(f"{RESULTS}: the vector itself is added", "raw"),
    "positions": said("intervention_utils: the last token, and each one decoded", "continuation"),
}

MIRRORED = {
    "dataset_kwargs.apart": said(
        "prompt_utils.load_dataset: (a, b) in test beside (b, a) in train", False
    )
}

LAYER_AVERAGE = {
    "shots": said("compute_avg_hidden_state.py: n_shots", 10),
    "prompts": said("compute_avg_hidden_state.py: n_trials", 100),
    "layer": said(f"{RESULTS}: where the function vector is added", a_third),
    "coefficient": said(f"{RESULTS}: the average itself is added", 1.0),
    "positions": said("intervention_utils: the last token, and each one decoded", "continuation"),
}

PROTOCOL = Protocol(
    name="fv-paper",
    paper="Todd et al., ICLR 2024, arXiv:2310.15213",
    code="ericwtodd/function_vectors",
    parts={
        "precision": Part(
            tasks=SIX,
            arms=(
                "zero_shot", "few_shot", "shuffled_few_shot", "fv", "layer_average",
                "fv@shuffled_few_shot", "layer_average@shuffled_few_shot",
            ),
            task={
                "doc_to_text": said(TEMPLATE, "Q: {{input}}\nA:"),
                "target_delimiter": said(TEMPLATE, " "),
                "fewshot_delimiter": said(TEMPLATE, "\n\n"),
                "dataset_kwargs.largest": said(SPLITS, WHOLE),
                "metadata.shots": said(f"{EVALUATE}: n_shots", 10),
                "metadata.headline": said("eval_utils: top-1 accuracy", "first_token_acc"),
            },
            methods={"fv": FUNCTION_VECTOR, "layer_average": LAYER_AVERAGE},
            shapes={
                (28, 16, 4096): {
                    "fv": {
                        "heads": said(f"{METHOD}: GPT-J's ten heads", "published"),
                        "layer": said(f"{RESULTS}: 9 of GPT-J's 28", 9),
                    },
                    "layer_average": {"layer": said(f"{RESULTS}: 9 of GPT-J's 28", 9)},
                }
            },
        )
    },
    defects={
        "precision": Part(
            task=MIRRORED,
            methods={
                "fv": {
                    "projection_bias": said(
                        "compute_function_vector calls the module: its bias once per head", True
                    )
                }
            },
        )
    },
    opening=True,
    beside=("first_token_acc",),
    filtered_by="few_shot",
    departures=(
        "Heads are chosen on each task, as evaluate_function_vector.py does without "
        "--universal_set; the paper's tables take heads that are best over many tasks. On GPT-J "
        "they are the published ten.",
        "Prompts that vectors are fitted on are drawn from the train split alone, whether the "
        "model answers them rightly or not; the paper's queries come from validation.",
        "Words that join pairs stand in one split: where (a, b) is tested, (b, a) is not shown. "
        "As published, both may stand anywhere.",
        "The edit acts on every architecture; the paper's hook passes over blocks that return a "
        "bare tensor.",
    ),
)  # fmt: skip
