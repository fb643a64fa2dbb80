"""Steering measured by lm-eval.

Importing this package is the one import that lm-eval needs: every steering method becomes the
lm-eval model `steer-<method>`, lazily (about 0.05 s; neither torch nor transformers is loaded)::

    import harness
    lm_eval.simple_evaluate(model="steer-fv", model_args="pretrained=gpt2,task=antonym", ...)

`harness.compare`, `harness.evaluate` and `harness.fit` do from Python what the commands do
(`harness.api`); what they need is imported when they are called.
"""

import os
import signal
import sys

if sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] or "") == "steergauge":  # noqa: PTH119
    # The command line is being loaded: until `main` runs, Ctrl-C has nothing to put in order.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.lm.registry import register_all

if TYPE_CHECKING:
    from harness.api import compare, evaluate, fit

__all__ = ["compare", "evaluate", "fit"]

register_all()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("harness.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
