"""Backbones as public repositories write them: the yardstick of ``benchmarks/ratios.py``, no part of the package.

Each is written here from the equations, with the layouts and operations that are usual in public code, takes its
weights from a fast one, and is tested to compute the same. ``PLAIN`` holds them by the name of the backbone.
"""

from __future__ import annotations

from benchmarks.plain.agcrn import AGCRN
from benchmarks.plain.d2stgnn import D2STGNN
from benchmarks.plain.dcrnn import DCRNN
from benchmarks.plain.graph_wavenet import GraphWaveNet
from benchmarks.plain.staeformer import STAEformer
from benchmarks.plain.stgcn import STGCN

PLAIN = {
    "agcrn": AGCRN, "d2stgnn": D2STGNN, "dcrnn": DCRNN, "graph_wavenet": GraphWaveNet, "staeformer": STAEformer,
    "stgcn": STGCN,
}  # fmt: skip
