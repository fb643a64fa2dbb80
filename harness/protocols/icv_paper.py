"""How in-context vectors were measured (Liu et al., ICML 2024, arXiv:2311.06668)."""

from __future__ import annotations

from harness.protocols.fv_paper import WHOLE
from harness.protocols.protocol import Part, Protocol, said
from task_defs.behavior_shift import rewritten

TASK, MAIN = "tasks/paradetox.py", "task_style_vector.py"

IN_CONTEXT_VECTOR = {
    "pairs": said("README: --num_k_shots 5", 5),
    "coefficient": said("demo_notebook.ipynb: 0.1", 0.1),
    "direction": said("tasks/base.py, obtain_icv: the mean and one component", "mean_plus_pc1"),
    "last_k": said("tasks/base.py, get_hiddenstates: the last token", 1),
    "contrast": said("tasks/base.py: each text alone, the desired one minus the other", "pairs"),
    "positions": said("utils/llm_layers.py: every token of every forward pass", "all"),
}

DECODING = {"do_sample": True, "temperature": 0.45, "top_k": 0, "top_p": 1.0, "max_gen_toks": 32}

PROTOCOL = Protocol(
    name="icv-paper",
    paper="Liu et al., ICML 2024, arXiv:2311.06668",
    code="shengliu66/ICV",
    parts={
        "behavior_shift": Part(
            tasks=("detoxification", "formality", "sentiment_transfer"),
            arms=("zero_shot", "few_shot", "icv"),
            task={
                "description": said(
                    f"{MAIN}: the prefix names no style",
                    "Please paraphrase the following sentence.\n ",
                ),
                "doc_to_text": said(TASK, 'Original: "{{input}}"; Paraphrased: "'),
                "doc_to_target": said(TASK, '{{output}}"'),
                "target_delimiter": said(TASK, ""),
                "fewshot_delimiter": said(TASK, ".  "),
                "generation_kwargs": said(
                    f"{MAIN}: of Llama; it ends at the closing quotation mark",
                    {**DECODING, "until": ['"', "\n"]},
                ),
                "dataset_kwargs.largest": said("tasks/base.py: nothing is cut", WHOLE),
                "metadata.shots": said("README: as many as the vector's pairs", 5),
                "metadata.headline": said("evaluation.py: the classifier's word", "attribute"),
                "process_results": said(
                    "evaluation.py: BLEU and ROUGE beside the classifier",
                    rewritten.process_results,
                ),
                "metric_list": said("evaluation.py", rewritten.METRICS),
            },
            methods={"icv": IN_CONTEXT_VECTOR},
        )
    },
    defects={
        "behavior_shift": Part(
            task={
                "generation_kwargs": said(
                    f"{MAIN}: what follows the first full stop is thrown away",
                    {**DECODING, "until": ['"', "\n", "."]},
                )
            }
        )
    },
    departures=(
        "Texts are split into 70, 9 and 21 % so that none is in two splits; the paper's code "
        "splits 60 and 40 % twice, without a seed, so that it demonstrates what it tests.",
        "The style is judged by the judge of --judge, the paper by ParlAI's classifier of offence "
        "(a probability above .9); detoxification and formality are the suite's own texts, or "
        "ParaDetox and Yelp by --data.",
        "BLEU is the mean over sentences, the paper's one value over all texts; BERTScore, METEOR "
        "and self-BLEU are left out.",
        "Falcon was decoded with ten beams and the vector's edit cast to 16 bits; here every model "
        "samples as Llama did, in its own precision.",
    ),
)
