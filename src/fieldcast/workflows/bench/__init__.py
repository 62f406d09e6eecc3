"""bench: what backbones cost on this machine, in time, memory and size, and what commands cost to start."""

from fieldcast.workflows.bench.memory import measure_memory
from fieldcast.workflows.bench.scale import measure_scale
from fieldcast.workflows.bench.speed import measure_speed
from fieldcast.workflows.bench.startup import measure_startup
from fieldcast.workflows.bench.subject import Size, trained_backbones, with_settings

__all__ = [
    "Size",
    "measure_memory",
    "measure_scale",
    "measure_speed",
    "measure_startup",
    "trained_backbones",
    "with_settings",
]
