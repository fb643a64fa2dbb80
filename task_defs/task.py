"""lm-eval's tasks on a user's own file; the one module here that imports lm-eval."""

from typing import Any

from lm_eval.api.task import ConfigurableTask

from task_defs.catalog import with_behaviour, with_pairs


class PairsTask(ConfigurableTask):  # type: ignore[misc]
    """A task of three lines: its name, this class and the file of pairs.

    Everything else (splits, template, metrics) comes from the precision suite unless given.
    """

    def __init__(self, config: dict[str, Any], **settings: Any) -> None:
        """Fill the configuration that lm-eval read from the YAML.

        Args:
            config: The YAML's keys.
            settings: What lm-eval passes to every task.
        """
        super().__init__(config=with_pairs(config, functions=True), **settings)


class BehaviourTask(ConfigurableTask):  # type: ignore[misc]
    """A task of three lines on style data: everything else comes from the behaviour suite."""

    def __init__(self, config: dict[str, Any], **settings: Any) -> None:
        """Fill the configuration that lm-eval read from the YAML.

        Args:
            config: The YAML's keys.
            settings: What lm-eval passes to every task.
        """
        super().__init__(config=with_behaviour(config, functions=True), **settings)
