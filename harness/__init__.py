"""Steering measured by lm-eval.

Importing this package is the one import that lm-eval needs: every steering method becomes the
lm-eval model `steer-<method>`, lazily (about 0.05 s; neither torch nor transformers is loaded)::

    import harness
    lm_eval.simple_evaluate(model="steer-fv", model_args="pretrained=gpt2,task=antonym", ...)
"""

from harness.lm.registry import register_all

register_all()
