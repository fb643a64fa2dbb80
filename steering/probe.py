"""The proof that every site of a model was found rightly."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from steering.errors import NotFinite, UnsupportedModel
from steering.hooks import changing
from steering.sites import SITES, resolve

_checked: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@torch.no_grad()
def check_sites(model: Any) -> None:
    """Prove on three tokens that an edit at each site of each layer reaches the logits.

    Raises:
        UnsupportedModel: An edit changes nothing; the message names the place.
        NotFinite: The model's own logits are not numbers.
    """
    if model in _checked:
        return
    layout = resolve(model)
    ids = (
        torch.tensor([[3, 2, 1]], device=model.device) % model.get_input_embeddings().num_embeddings
    )
    plain = model(input_ids=ids, use_cache=False).logits
    if not torch.isfinite(plain).all():
        raise NotFinite(
            f"{type(model).__name__}: the logits of three tokens hold NaN or infinity; load the "
            "model in float32 or mend the checkpoint"
        )
    for site in SITES:
        for layer in range(layout.n_layers):
            with changing(model, {(site, layer): lambda x: x + torch.randn_like(x)}):
                edited = model(input_ids=ids, use_cache=False).logits
            if torch.equal(plain, edited):
                raise UnsupportedModel(
                    f"{type(model).__name__}: an edit of {site} at layer {layer} does not reach "
                    "the logits; this model cannot be steered there"
                )
    _checked[model] = True
