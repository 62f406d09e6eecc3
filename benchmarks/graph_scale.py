"""Time and memory of graphs at 100,000 nodes with 10 neighbours each: from coordinates to every operator.

python benchmarks/graph_scale.py [--out FILE] [--nodes N]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.files import write_atomically
from fieldcast.data.graph import Graph, from_coordinates
from fieldcast.data.graph.operators import largest_eigenvalue
from fieldcast.evaluation.protocol import machine_record, peak_memory, version_record

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).parent / "results" / "graph_scale.json")
    parser.add_argument("--nodes", type=int, default=100_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    coordinates = rng.uniform((40, 0), (45, 8), (arguments.nodes, 2))
    keep = np.flatnonzero(rng.random(arguments.nodes) < 0.7)
    before, spent = peak_memory(), {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = work()
        spent[name] = round(time.perf_counter() - began, 3)
        return made

    graph: Graph = timed("from_coordinates", lambda: from_coordinates(coordinates, 10))
    for name in ("random_walk", "double_transition", "normalised_laplacian", "scaled_laplacian", "chebyshev"):
        timed(name, lambda name=name: graph.supports(name))
    largest = timed("lambda_max", lambda: largest_eigenvalue(graph))
    build = round(sum(spent.values()), 3)
    built_peak = peak_memory()
    timed("induced, 70 % kept", lambda: graph.renode(keep))
    timed("rebuild_knn, 70 % kept", lambda: graph.renode(keep, "rebuild_knn", coordinates=coordinates[keep]))
    timed("bridge with limit 4, 70 % kept", lambda: graph.renode(keep, "bridge", limit=4))
    result = {
        "what": "graph of the 10 nearest neighbours by haversine (an edge wherever either counts the other), operators "
        "sparse, Chebyshev of order 3, lambda_max by Lanczos; then three sub-graphs",
        "nodes": graph.nodes, "edges": int(graph.edge_index.shape[1]), "lambda_max": round(largest, 6),
        "seconds": spent, "builder_and_operators_seconds": build, "before_mb": round(before, 1),
        "builder_and_operators_peak_mb": round(built_peak, 1), "peak_mb": round(peak_memory(), 1),
        "machine": machine_record(), "versions": version_record(), "command": "python benchmarks/graph_scale.py",
    }  # fmt: skip
    write_atomically(arguments.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key not in ("machine", "versions")}))
