"""Tasks: what a vector is fitted on and what a model is measured by.

The tasks are lm-eval's own YAML files and need nothing of this package to run:
`lm_eval --include_path <root()> --tasks precision`. This module reads the same files, so that
fitting and evaluation share one template and one split. Neither torch nor lm-eval is imported.

A file of your own, a JSON list or JSON lines of `{"input": ..., "output": ...}` or a table with
such columns (`task_defs.rows` says what else), needs no YAML:

    simple_evaluate(model="hf", tasks=[pairs_task("colours.json")])

or becomes a named task in a folder of yours with three lines. The file stands beside the YAML:

    task: colours
    class: !function task_defs.task.PairsTask
    dataset_kwargs: {file: colours.json}

`BehaviourTask` in place of `PairsTask` makes a task of the behaviour suite of style data. Any other
key of a task (`metadata`, `doc_to_text`, ...) may be added and wins over the defaults
of the precision suite.
"""

from task_defs.catalog import BadTask, UnknownTask, config, group, root, suites, tasks
from task_defs.examples_of import examples
from task_defs.pairs import BadPairs, Given, given, pairs_file, pairs_task
from task_defs.rendering import Examples, Template
from task_defs.validation import Report, validate

__all__ = [
    "BadPairs",
    "BadTask",
    "Examples",
    "Given",
    "Report",
    "Template",
    "UnknownTask",
    "config",
    "examples",
    "given",
    "group",
    "pairs_file",
    "pairs_task",
    "root",
    "suites",
    "tasks",
    "validate",
]
