"""Small honest models that prove the contracts; importing this package registers them."""

from tests.contracts.toys import (
    enhancer,
    gated_branches,
    grid_skip,
    node_adapter,
    read_out,
    sensor_gate,
)

__all__ = [
    "enhancer",
    "gated_branches",
    "grid_skip",
    "node_adapter",
    "read_out",
    "sensor_gate",
]
