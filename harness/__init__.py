"""Steering measured by lm-eval.

Importing this package is the one import that lm-eval needs: every steering method becomes the
lm-eval model `steer-<method>`, lazily (about 0.05 s; neither torch nor transformers is loaded)::

    import harness
    lm_eval.simple_evaluate(model="steer-fv", model_args="pretrained=gpt2,task=antonym", ...)
"""

import os
import signal
import sys

if sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] or "") == "steergauge":  # noqa: PTH119
    # The command line is being loaded: until `main` runs, Ctrl-C has nothing to put in order.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from harness.lm.registry import register_all

register_all()
