"""Older formats of a saved forecaster, step by step to today's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

FORMAT_VERSION = 1
"""What ``save`` writes. A change of ``config.json`` raises it and adds the step from the version before."""

STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""``STEPS[n]`` turns the content of a ``config.json`` of format n into one of format n + 1."""


def migrated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``config.json`` in today's format; what was read stays as it is."""
    content = copy.deepcopy(dict(config))
    while content["format_version"] < FORMAT_VERSION:
        version = content["format_version"]
        content = {**STEPS[version](content), "format_version": version + 1}
    return content
