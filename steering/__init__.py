r"""Steering vectors for Hugging Face decoders: methods fit them, models are steered with them.

    vector = FunctionVector(top_heads=10).fit(model, tokenizer, examples)
    with vector.attached(model):
        model.generate(**tokenizer("Q: hot\nA:", return_tensors="pt"))

Layers are 0-based blocks throughout; an edit at layer L changes the OUTPUT of block L.
"""

import steering.methods  # noqa: F401  (registers the built-in ones)
from steering.activations import last_token_hidden_states, mean_head_activations
from steering.attachment import Attachment
from steering.checks import check_method
from steering.edit import Edit
from steering.effects import Effects, indirect_effects
from steering.errors import (
    BadExamples,
    BadSetting,
    BadVector,
    NotFinite,
    SteeringError,
    UnknownMethod,
    UnsupportedModel,
)
from steering.layout import SITES, Layout
from steering.memo import remembering, saved_seconds
from steering.method import Examples, SteeringMethod, get, names, register
from steering.methods.function_vector import FunctionVector
from steering.methods.in_context_vector import InContextVector
from steering.methods.random_heads import RandomHeads
from steering.methods.random_vector import RandomVector
from steering.operations import OPERATIONS
from steering.positions import POSITIONS
from steering.probe import check_sites
from steering.sites import resolve
from steering.space import Choice, Integer, Real, SearchSpace, Shape
from steering.tokens import prompt_ids
from steering.vector import SteeringVector, attached_by_row

__all__ = [
    "OPERATIONS",
    "POSITIONS",
    "SITES",
    "Attachment",
    "BadExamples",
    "BadSetting",
    "BadVector",
    "Choice",
    "Edit",
    "Effects",
    "Examples",
    "FunctionVector",
    "InContextVector",
    "Integer",
    "Layout",
    "NotFinite",
    "RandomHeads",
    "RandomVector",
    "Real",
    "SearchSpace",
    "Shape",
    "SteeringError",
    "SteeringMethod",
    "SteeringVector",
    "UnknownMethod",
    "UnsupportedModel",
    "attached_by_row",
    "check_method",
    "check_sites",
    "get",
    "indirect_effects",
    "last_token_hidden_states",
    "mean_head_activations",
    "names",
    "prompt_ids",
    "register",
    "remembering",
    "resolve",
    "saved_seconds",
]
