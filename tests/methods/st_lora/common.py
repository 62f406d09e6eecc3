"""What the tests of ST-LoRA share."""

from __future__ import annotations

SIX = ("lstm", "stgcn", "graph_wavenet", "agcrn", "staeformer", "d2stgnn")
"""The backbones of the specification."""
