"""Plain data from text files of settings: YAML, TOML, JSON. Nothing in them is ever imported or run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


class Unreadable(ValueError):
    """A file that is no such text, with the reason in one line."""


class _Strict(yaml.SafeLoader):
    """YAML's plain types alone, and no key twice in a table: of two settings the last would win without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            own = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in own:
                if own.count(key) > 1:
                    raise yaml.YAMLError(f"the key '{key[1]}' stands twice in one table")
        return super().construct_mapping(node, deep)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


_PARSERS: dict[str, Callable[[str], Any]] = {
    "yaml": lambda text: yaml.load(text, _Strict),
    "toml": tomllib.loads,
    "json": lambda text: json.loads(text, parse_constant=_no_constant),
}


def read_plain(path: str | Path, kind: str) -> Any:
    """Read a file in UTF-8 of the kind ``yaml``, ``toml`` or ``json``.

    Raises OSError where the file cannot be opened, and Unreadable with the reason for whatever is wrong in it.
    """
    try:
        return _PARSERS[kind](Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except (ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise Unreadable(" ".join(str(error).split())[:120] or type(error).__name__) from None


def read_table(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a file that holds a table; Unreadable where it holds anything else, too."""
    table = read_plain(path, kind)
    if not isinstance(table, dict):
        raise Unreadable("it holds no table")
    return table
