"""Graph: who neighbours whom; builders from distances, coordinates, correlation, grids and files; operators over it."""

from fieldcast.data.graph.builders import (
    from_coordinates,
    from_correlation,
    from_distance_matrix,
    from_distances,
    from_grid,
    nearest,
)
from fieldcast.data.graph.files import Edges, from_adjacency_csv, from_edge_csv, from_npz, from_sparse_npz, read_edges
from fieldcast.data.graph.graph import Graph

__all__ = [
    "Edges", "Graph", "from_adjacency_csv", "from_coordinates", "from_correlation", "from_distance_matrix",
    "from_distances", "from_edge_csv", "from_grid", "from_npz", "from_sparse_npz", "nearest", "read_edges",
]  # fmt: skip
