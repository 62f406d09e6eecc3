"""Sub-graphs: what becomes of the edges when nodes go, come, or change their order.

``index`` int64 [new N] holds for each new node its present position, or -1 for a node that is new.
"""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse as sparse

from fieldcast.data.graph.builders import from_coordinates
from fieldcast.data.graph.graph import Graph
from fieldcast.data.graph.operators import largest_eigenvalue
from fieldcast.errors import FieldcastError, did_you_mean

_BRIDGES = ("product", "harmonic")


def induced(graph: Graph, index: np.ndarray) -> Graph:
    """The edges between the remaining nodes, normalised as if the others were still there.

    Degrees and lambda_max stay those of the whole graph: an operator of the result is the block of the whole operator,
    and a model that mixes through it equals the whole model with the removed nodes masked. New nodes have no edges.
    """
    new, present = _positions(graph, index)
    edges = new[graph.edge_index]
    keep = (edges >= 0).all(axis=0)
    matrix = graph.adjacency()
    full = []
    for axis, degree in ((1, graph.out_degree), (0, graph.in_degree)):
        full.append(np.asarray(matrix.sum(axis=axis, dtype=np.float64)).ravel() if degree is None else degree)
    full.append(graph.symmetric_degree())
    degrees = [np.where(present, each[index], 0.0) for each in full]
    largest = None if graph.empty and graph.lambda_max is None else largest_eigenvalue(graph)
    loopless = graph.lambda_max_without_loops
    plain = graph.without_self_loops()
    if loopless is None and not plain.empty:
        has_loops = plain.edge_index.shape[1] < graph.edge_index.shape[1]
        loopless = largest_eigenvalue(plain) if has_loops else largest
    return Graph(
        len(index), edges[:, keep], graph.edge_weight[keep], *degrees[:3], lambda_max=largest,
        lambda_max_without_loops=loopless,
    )  # fmt: skip


def rebuild_knn(
    graph: Graph,
    index: np.ndarray,
    *,
    coordinates: np.ndarray,
    neighbours: int | None = None,
    symmetric: bool = True,
    weights: str | None = None,
) -> Graph:
    """Each node joined to its nearest ones anew: :func:`from_coordinates` over ``coordinates`` [new N, 2] in degrees.

    ``neighbours`` is the mean number of edges of a node so far (rounded, at least 1), ``weights`` binary where all
    edges weighed 1 so far and gaussian otherwise, unless given. Self loops of remaining nodes stay. New nodes are
    joined like others. The normaliser is that of the new edges.
    """
    new, _ = _positions(graph, index)
    plain = graph.without_self_loops()
    if neighbours is None:
        neighbours = max(1, round(plain.edge_index.shape[1] / graph.nodes))
    if weights is None:
        weights = "binary" if (plain.edge_weight == 1).all() else "gaussian"
    coordinates = np.asarray(coordinates, dtype=np.float64)
    if coordinates.shape != (len(index), 2):
        raise FieldcastError(
            f"the coordinates have shape {coordinates.shape}: give latitude and longitude of the {len(index)} nodes "
            "that the graph is to have, in their order."
        )
    near = from_coordinates(coordinates, neighbours, symmetric=symmetric, weights=weights)
    loop = (graph.edge_index[0] == graph.edge_index[1]) & (new[graph.edge_index[0]] >= 0)
    edges = np.concatenate([near.edge_index, new[graph.edge_index[:, loop]]], axis=1)
    return Graph(len(index), edges, np.concatenate([near.edge_weight, graph.edge_weight[loop]]))


def bridge(graph: Graph, index: np.ndarray, *, weights: str = "product", limit: int | None = None) -> Graph:
    """The induced edges, and an edge from i to j wherever a path leads from i to j through removed nodes alone.

    ``product``: a path weighs w_max * prod(w / w_max), w_max the largest weight of the graph, so w_ik w_kj where that
    is 1. Of several paths, and an edge that is there already, the largest counts. With ``limit`` a node gets only that
    many bridges, its strongest: then time and edges stay linear even where removed nodes form large clusters, at whose
    border every node would be joined to every other, but nodes that hung together through them may fall apart.
    ``harmonic``: nodes k are removed one by one, in any order, by w_ij <- w_ij + w_ik w_kj / sum_m w_km. In an
    undirected chain that is u v / (u + v), conductors in series (star-mesh transform, Kron reduction); for any graph
    the walk D^-1 A is the whole walk watched at the remaining nodes only, steps back to the same node left out.

    Chains and clusters of removed nodes are bridged too. No self loop is made; those of remaining nodes stay. New nodes
    have no edges. The normaliser is that of the new edges. Weights too small for float32 are dropped.
    """
    if weights not in _BRIDGES:
        raise FieldcastError(
            f"there are no bridges '{weights}'{did_you_mean(weights, _BRIDGES)}: choose product or harmonic."
        )
    if limit is not None and (limit < 1 or weights != "product"):
        raise FieldcastError(f"limit={limit} with {weights} bridges: give at least 1, and product bridges.")
    new, _ = _positions(graph, index)
    matrix = sparse.coo_matrix(graph.adjacency(), dtype=np.float64)
    peak = 1.0 if graph.empty else float(matrix.data.max())
    out: list[dict[int, float]] = [{} for _ in range(graph.nodes)]
    entries = zip(matrix.row.tolist(), matrix.col.tolist(), np.divide(matrix.data, peak).tolist(), strict=True)
    for i, j, weight in entries:
        if weight > 0 and (i != j or new[i] >= 0):
            out[i][j] = weight
    gone = (new < 0).tolist()
    out = _harmonic(out, gone) if weights == "harmonic" else _product(out, gone, limit)
    rows = np.array([i for i, ways in enumerate(out) for _ in ways], dtype=np.int64)
    columns = np.array([j for ways in out for j in ways], dtype=np.int64)
    weight = (np.array([w for ways in out for w in ways.values()], dtype=np.float64) * peak).astype(np.float32)
    keep = weight > 0
    return Graph(len(index), np.stack([new[rows], new[columns]])[:, keep], weight[keep])


def _product(out: list[dict[int, float]], gone: list[bool], limit: int | None) -> list[dict[int, float]]:
    """Ways out of each node over strongest paths through nodes that are gone; all weights at most 1."""
    bridged: list[dict[int, float]] = []
    for i, ways in enumerate(out):
        kept = {} if gone[i] else {j: weight for j, weight in ways.items() if not gone[j]}
        # Strongest first, as Dijkstra's shortest first: a product of weights up to 1 never grows.
        waiting = [] if gone[i] else [(-weight, j) for j, weight in ways.items() if gone[j]]
        heapq.heapify(waiting)
        done, found = {i}, 0
        while waiting and found != limit:
            weight, k = heapq.heappop(waiting)
            if k in done:
                continue
            done.add(k)
            if gone[k]:
                for j, last in out[k].items():
                    if j not in done:
                        heapq.heappush(waiting, (weight * last, j))
            else:
                kept[k], found = max(kept.get(k, 0.0), -weight), found + 1
        bridged.append(kept)
    return bridged


def _harmonic(out: list[dict[int, float]], gone: list[bool]) -> list[dict[int, float]]:
    """Ways out of each node after the gone ones were taken out one by one; ``out`` is changed."""
    into: list[set[int]] = [set() for _ in out]
    for i, ways in enumerate(out):
        for j in ways:
            into[j].add(i)
    # The node with the fewest ways through it first: fewest new edges.
    waiting = [(len(into[k]) * len(out[k]), k) for k in range(len(out)) if gone[k]]
    heapq.heapify(waiting)
    while waiting:
        cost, k = heapq.heappop(waiting)
        now = len(into[k]) * len(out[k])
        if now > cost:
            heapq.heappush(waiting, (now, k))
            continue
        through = sum(out[k].values())
        for i in into[k]:
            first = out[i].pop(k)
            for j, second in out[k].items():
                if i != j:
                    out[i][j] = out[i].get(j, 0.0) + first * second / through
                    into[j].add(i)
        for j in out[k]:
            into[j].discard(k)
        out[k], into[k] = {}, set()
    return out


def _positions(graph: Graph, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The new position of each present node, -1 where it goes: int64 [N]; and which new nodes are present ones."""
    index = np.asarray(index)
    whole = index.ndim == 1 and len(index) > 0 and np.issubdtype(index.dtype, np.integer)
    if not whole or index.min() < -1 or index.max() >= graph.nodes:
        raise FieldcastError(f"cannot choose these nodes of {graph.nodes}: give positions from 0, or -1 for new ones.")
    present = index >= 0
    if len(np.unique(index[present])) < present.sum():
        raise FieldcastError("a node is chosen twice: give each position once.")
    new = np.full(graph.nodes, -1, dtype=np.int64)
    new[index[present]] = np.flatnonzero(present)
    return new, present
