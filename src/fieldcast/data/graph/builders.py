"""Builders: a graph from distances, coordinates, correlation of training rows, or a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from fieldcast.data.graph.graph import Graph, edge_name
from fieldcast.errors import FieldcastError, did_you_mean

EARTH_RADIUS = 6371.0088
"""Mean radius of the Earth in km."""
_WEIGHTS = ("gaussian", "binary")
_BLOCK = 512  # nodes whose correlations with all others are held at once


def from_distances(
    nodes: int,
    edge_index: np.ndarray,
    distance: np.ndarray,
    *,
    weights: str = "gaussian",
    sigma: float | None = None,
    threshold: float = 0.1,
    symmetric: bool = False,
    self_loops: bool | None = None,
    source: str = "the distances",
) -> Graph:
    """A graph from edges with distances: w = exp(-d^2 / sigma^2), edges with w < ``threshold`` left out.

    ``sigma`` is the standard deviation of all distances given (DCRNN: Li et al., ICLR 2018, arXiv:1707.01926), in their
    unit. ``weights="binary"`` gives every edge 1 and ignores sigma and threshold. ``symmetric`` takes
    max(A, A'). ``self_loops``: None keeps those given, True gives each node one of weight 1, False leaves none.
    Shapes: ``edge_index`` int [2, E], ``distance`` float [E], not negative.

    Raises FieldcastError for distances that are negative or no finite numbers, for an edge with two distances (the same
    edge and distance again is left out), and where no edge is left or sigma would be 0.
    """
    edge_index, distance = np.asarray(edge_index), np.asarray(distance, dtype=np.float64)
    _check_choice(weights)
    _check_distances(edge_index, distance, source)
    edge_index, distance, _ = distinct_edges(edge_index, distance, source)
    if weights == "binary":
        weight = np.ones(len(distance))
    else:
        weight = _kernel(distance, _spread(distance, source) if sigma is None else sigma)
        keep = weight >= threshold
        if len(weight) and not keep.any():
            raise FieldcastError(
                f"no edge of {source} has a weight of {threshold:g} or more: give a larger sigma or a lower threshold."
            )
        edge_index, weight = edge_index[:, keep], weight[keep]
    return _finish(Graph(nodes, edge_index.astype(np.int64), weight.astype(np.float32)), symmetric, self_loops)


def from_distance_matrix(matrix: np.ndarray, **options: Any) -> Graph:
    """A graph from distances [N, N], infinite where there is no edge; options as of :func:`from_distances`.

    sigma runs over all finite entries, the diagonal among them, as in DCRNN.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise FieldcastError(f"the matrix of distances has shape {matrix.shape}: give a square one.")
    edge_index = np.stack(np.nonzero(matrix != np.inf))
    return from_distances(len(matrix), edge_index, matrix[edge_index[0], edge_index[1]], **options)


def from_coordinates(
    coordinates: np.ndarray,
    neighbours: int = 8,
    *,
    symmetric: bool = True,
    weights: str = "gaussian",
    sigma: float | None = None,
    threshold: float = 0.0,
    self_loops: bool = False,
) -> Graph:
    """Each node joined to its nearest ``neighbours`` over the sphere, w = exp(-d^2 / sigma^2).

    ``sigma`` in km is the mean distance to the neighbours: unlike the standard deviation it suits distances that are
    nearly the same, as on regular networks. ``symmetric`` takes max(A, A'), an edge wherever either node counts the
    other among its nearest. Fewer nodes than ``neighbours`` + 1 are all joined.
    Shapes: ``coordinates`` float [N, 2], latitude and longitude in degrees.

    Raises FieldcastError for coordinates that are missing or outside the Earth.
    """
    index, distance = nearest(coordinates, neighbours)
    nodes, width = index.shape
    _check_choice(weights)
    edge_index = np.stack([np.repeat(np.arange(nodes), width), index.ravel()])
    spread = sigma if sigma is not None else (float(distance.mean()) if distance.size else 1.0)
    weight = _kernel(distance.ravel(), spread) if weights == "gaussian" else np.ones(distance.size)
    keep = (weight >= threshold) & (weight > 0)
    graph = Graph(nodes, edge_index[:, keep], weight[keep].astype(np.float32))
    return _finish(graph, symmetric, self_loops)


def nearest(coordinates: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other nodes of each and the great-circle distances in km: int64 and float64 [N, k], nearest first.

    k is ``neighbours``, or N - 1 where there are fewer. A ball tree: N log N.
    """
    from sklearn.neighbors import BallTree

    coordinates = np.asarray(coordinates, dtype=np.float64)
    if coordinates.ndim != 2 or coordinates.shape[1] != 2 or not len(coordinates):
        raise FieldcastError(f"the coordinates have shape {coordinates.shape}: give latitude and longitude [N, 2].")
    if neighbours < 1:
        raise FieldcastError(f"each node is to have {neighbours} neighbours: give at least 1.")
    latitude, longitude = coordinates.T
    wrong = ~((np.abs(latitude) <= 90) & (longitude >= -180) & (longitude <= 360))  # NaN is wrong too
    if wrong.any():
        at = int(wrong.argmax())
        raise FieldcastError(
            f"node {at} lies at latitude {latitude[at]:g}, longitude {longitude[at]:g}: give degrees on Earth for "
            "every node, latitude first."
        )
    nodes = len(coordinates)
    width = min(neighbours, nodes - 1)
    radians = np.radians(coordinates)
    distance, index = BallTree(radians, metric="haversine").query(radians, k=width + 1)
    # The node itself is among its nearest, but not always first: several may stand at one place. Where it is not among
    # them at all, the farthest gives way.
    own = index == np.arange(nodes)[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (nodes, width)
    return index[~own].reshape(shape).astype(np.int64), distance[~own].reshape(shape) * EARTH_RADIUS


def from_correlation(
    values: Any,
    observed: np.ndarray | None = None,
    *,
    neighbours: int | None = None,
    threshold: float | None = None,
    symmetric: bool = True,
    absolute: bool = False,
    shared_rows: int = 10,
    channel: int = 0,
) -> Graph:
    """Nodes joined whose training rows correlate: w_ij = r_ij (Pearson), over the rows that both have observed.

    ``values`` are the training rows, float [rows, N] or [rows, N, C] of which ``channel`` is taken, with ``observed``
    bool of the same shape (left out: what is a finite number); or a Windows, whose training rows and first target are
    taken. Rows of validation or test must not be given: the graph would tell the model of them. Each node is joined to
    the ``neighbours`` that correlate most, or to all with r >= ``threshold``, or both. Negative correlations make no
    edge, unless ``absolute`` takes \\|r\\|; neither do fewer than ``shared_rows`` rows and nodes that never change.
    ``symmetric`` takes max(A, A'). Time and memory grow with N^2 and N.

    Raises FieldcastError where neither neighbours nor threshold are given, and where no two nodes correlate.
    """
    if hasattr(values, "training_series"):
        series = values.training_series()
        values, observed, channel = series.values, series.observed, int(values.form.target_index[0])
    values = np.asarray(values)
    mask = np.isfinite(values) if observed is None else np.asarray(observed, dtype=bool)
    if values.ndim not in (2, 3) or values.shape != mask.shape:
        raise FieldcastError(
            f"the values have shape {values.shape}, their mask {mask.shape}: give [rows, nodes] or [rows, nodes, "
            "channels] of the training rows."
        )
    if values.ndim == 3:
        if not 0 <= channel < values.shape[2]:
            raise FieldcastError(f"there is no channel {channel} among {values.shape[2]}: count them from 0.")
        values, mask = values[..., channel], mask[..., channel]
    if neighbours is None and threshold is None:
        raise FieldcastError("correlations of all pairs make no graph: give neighbours, such as 8, or a threshold.")
    if (neighbours is not None and neighbours < 1) or (threshold is not None and not 0 < threshold <= 1):
        raise FieldcastError(f"neighbours={neighbours}, threshold={threshold}: give at least 1 and a number in (0, 1].")
    nodes = values.shape[1]
    parts, weights = [], []
    for begin, block in _correlations(values, mask, shared_rows):
        strength = np.abs(block) if absolute else block
        keep = strength >= threshold if threshold is not None else strength > 0
        if neighbours is not None and neighbours < nodes:
            rank = np.argsort(np.argsort(-strength, axis=1, kind="stable"), axis=1, kind="stable")
            keep &= rank < neighbours
        keep &= strength > 0
        row, column = np.nonzero(keep)
        parts.append(np.stack([row + begin, column]))
        weights.append(strength[row, column])
    graph = Graph(nodes, np.concatenate(parts, axis=1).astype(np.int64), np.concatenate(weights).astype(np.float32))
    if graph.empty and nodes > 1:
        raise FieldcastError(
            f"no two of {nodes} nodes correlate as asked over {len(values)} training rows: lower the threshold, or "
            "give more rows."
        )
    return _finish(graph, symmetric, None)


def from_grid(rows: int, columns: int, *, neighbours: int = 8, self_loops: bool = False) -> Graph:
    """The cells of a grid joined to those beside them (4) or those around them (8), all with weight 1, both ways.

    Node of a cell: row * columns + column.
    """
    if rows < 1 or columns < 1:
        raise FieldcastError(f"the grid has {rows} rows and {columns} columns: give at least one of each.")
    if neighbours not in (4, 8):
        raise FieldcastError(f"a cell of a grid cannot have {neighbours} neighbours: choose 4 or 8.")
    cell = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    ways = [(0, 1), (1, 0)] + ([(1, 1), (1, -1)] if neighbours == 8 else [])
    pairs = []
    for down, right in ways:
        start = cell[: rows - down, max(0, -right) : columns - max(0, right)]
        end = cell[down:, max(0, right) : columns + min(0, right)]
        pairs += [np.stack([start.ravel(), end.ravel()]), np.stack([end.ravel(), start.ravel()])]
    edge_index = np.concatenate(pairs, axis=1)
    edge_index = edge_index[:, np.lexsort(edge_index[::-1])]
    graph = Graph(rows * columns, edge_index, np.ones(edge_index.shape[1], dtype=np.float32))
    return _finish(graph, False, self_loops)


def distinct_edges(edge_index: np.ndarray, distance: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Leave out edges that repeat another with the same distance; edges [2, E], distances [E], and how many went.

    The first of each stays, in its place. An edge with two distances is refused.
    """
    order = np.lexsort((edge_index[1], edge_index[0]))  # stable: of equal ones the first stays first
    ends, length = edge_index[:, order], distance[order]
    same = (ends[:, 1:] == ends[:, :-1]).all(axis=0)
    clash = same & (length[1:] != length[:-1])
    if clash.any():
        at = int(clash.argmax())
        raise FieldcastError(
            f"{source} give {edge_name(ends, at)} two values, {length[at]:g} and {length[at + 1]:g}: remove one."
        )
    keep = np.sort(order[np.concatenate([[True], ~same])]) if len(order) else order
    return edge_index[:, keep], distance[keep], len(order) - len(keep)


def _finish(graph: Graph, symmetric: bool, self_loops: bool | None) -> Graph:
    """Make a graph undirected if asked, and give its nodes self loops of weight 1, or none, if told."""
    if self_loops is not None:
        graph = graph.without_self_loops()
    if symmetric:
        graph = graph.symmetric()
    if not self_loops:
        return graph
    loop = np.arange(graph.nodes, dtype=np.int64)
    edges = np.concatenate([graph.edge_index, np.stack([loop, loop])], axis=1)
    return Graph(graph.nodes, edges, np.concatenate([graph.edge_weight, np.ones(graph.nodes, dtype=np.float32)]))


def _check_choice(weights: str) -> None:
    if weights not in _WEIGHTS:
        raise FieldcastError(
            f"there are no weights '{weights}'{did_you_mean(weights, _WEIGHTS)}: choose {' or '.join(_WEIGHTS)}."
        )


def _check_distances(edge_index: np.ndarray, distance: np.ndarray, source: str) -> None:
    if edge_index.ndim != 2 or edge_index.shape != (2, len(distance)) or distance.ndim != 1:
        raise FieldcastError(
            f"{source} have shape {distance.shape}, their edges {edge_index.shape}: give [edges] and [2, edges]."
        )
    wrong = ~np.isfinite(distance) | (distance < 0)
    if wrong.any():
        at = int(wrong.argmax())
        problem = "a negative" if distance[at] < 0 else "a missing" if np.isnan(distance[at]) else "an infinite"
        raise FieldcastError(
            f"{source} give {edge_name(edge_index, at)} (number {at}) {problem} distance ({distance[at]:g}): give 0 "
            "or more, or leave the edge out."
        )


def _spread(distance: np.ndarray, source: str) -> float:
    """The standard deviation of distances; refused where they are all the same."""
    if not len(distance):
        return 1.0
    sigma = float(distance.std())
    if sigma <= 1e-9 * float(distance.mean()):
        if not distance.any():
            return 1.0
        raise FieldcastError(
            f"{source} are all {distance[0]:g}, so that their standard deviation is 0: give sigma, or binary weights."
        )
    return sigma


def _kernel(distance: np.ndarray, sigma: float) -> np.ndarray:
    """exp(-d^2 / sigma^2), 1 at distance 0."""
    if not 0 <= sigma < np.inf or (sigma == 0 and distance.any()):
        raise FieldcastError(f"sigma is {sigma:g}: give a length above 0 in the unit of the distances.")
    return np.exp(-((distance / (sigma or 1.0)) ** 2))


def _correlations(values: np.ndarray, observed: np.ndarray, shared_rows: int) -> Any:
    """(first node, r float64 [block, N]) block by block; 0 where there is no correlation, and of a node with itself."""
    mask = observed.astype(np.float64)  # [rows, N]
    filled = np.where(observed, values, 0.0).astype(np.float64)
    mean = filled.sum(axis=0) / np.maximum(mask.sum(axis=0), 1)  # [N]
    centred = np.where(observed, filled - mean, 0.0)  # [rows, N]
    square = centred**2
    noise = (1e-6 * mean) ** 2  # variances below the resolution of float32 are none
    for begin in range(0, values.shape[1], _BLOCK):
        block = slice(begin, begin + _BLOCK)
        rows = mask[:, block].T @ mask  # [block, N] each, over the rows that both have
        some = np.maximum(rows, 1)
        first, second = centred[:, block].T @ mask, mask[:, block].T @ centred
        first_square, second_square = square[:, block].T @ mask, mask[:, block].T @ square
        covariance = centred[:, block].T @ centred - first * second / some
        variances = []
        for total, squares, least in ((first, first_square, noise[block, None]), (second, second_square, noise)):
            variance = squares - total**2 / some
            varies = variance > np.maximum(1e-9 * squares, least * some)
            variances.append(np.where(varies, variance, 0.0))
        scale = np.sqrt(variances[0] * variances[1])
        there = (rows >= max(shared_rows, 2)) & (scale > 0)
        r = np.divide(covariance, scale, out=np.zeros_like(covariance), where=there).clip(-1, 1)
        own = np.arange(begin, begin + len(r))
        r[own - begin, own] = 0.0
        yield begin, r
