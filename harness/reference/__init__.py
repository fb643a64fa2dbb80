"""The built-in model `reference`: a small decoder that truly learns in context.

It is a measuring instrument for demonstrations and regression runs, never evidence about real
models. `corpus` writes its training documents, `train` trains it, `card` measures it.
"""

from pathlib import Path

REFERENCE = "reference"


def weights() -> Path:
    """Return the folder of the shipped checkpoint (`save_pretrained` layout)."""
    return Path(__file__).parent / "weights"
