"""Stages beside a backbone, as options: ``--stages st_lora --st-lora.rank 4``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fieldcast.cli.parsing import Options, take
from fieldcast.core.registry import STAGES
from fieldcast.errors import FieldcastError


class StageOptions:
    """The settings of some stages: from a configuration's table, then from options under each stage's own name.

    ``training`` holds what their recipes say of training.
    """

    def __init__(self, names: Sequence[str], argv: Sequence[str], table: Any):
        if not isinstance(table, Mapping) or not all(isinstance(told or {}, Mapping) for told in table.values()):
            raise FieldcastError("'stages' in the configuration is no table: write 'stages: {st_lora: {rank: 4}}'.")
        self.names = list(dict.fromkeys(names or table))
        self.training: dict[str, Any] = {}
        self.given: dict[str, dict[str, Any]] = {}
        rest = list(argv)
        for name in self.names:
            cls = STAGES.get(name)
            told = dict(table.get(name) or {})
            for typed in (name, name.replace("_", "-")):
                chosen, rest = take(rest, f"{typed}.recipe")
                if chosen:
                    told["recipe"] = chosen[-1]
            if "recipe" in told:  # what the file and the command line say comes before it
                recipe = cls.recipe(str(told.pop("recipe")))
                told, self.training = {**recipe.hyper, **told}, {**self.training, **recipe.training}
            self.given[name] = told
        self.argv = rest

    def add(self, options: Options) -> None:
        """Make the settings of each stage options of a command."""
        for name in self.names:
            options.add_group(STAGES.get(name), name)
            known = ", ".join(STAGES.get(name).recipes) or "there are none"
            options.option(f"{name}.recipe", str, None, f"settings by name: {known}")

    def config(self) -> dict[str, Any]:
        """What the table and the recipes say, as the options' defaults."""
        return {name: told for name, told in self.given.items() if told}

    def of(self, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Take the settings out of parsed values."""
        found = {name: dict(values.pop(name, None) or {}) for name in self.names}
        for told in found.values():
            told.pop("recipe", None)
        return found
