"""Records and everything that reads them: statistics, tables, figures, pages, the gate.

Never loads a model, and imports neither torch nor lm-eval.
"""

from reports.comparison import Cell, Comparison, NotCompared, by_model
from reports.frame import frame
from reports.record import BadRecord, Metric, Record, load_all
from reports.stats import Difference

__all__ = [
    "BadRecord",
    "Cell",
    "Comparison",
    "Difference",
    "Metric",
    "NotCompared",
    "Record",
    "by_model",
    "frame",
    "load_all",
]
