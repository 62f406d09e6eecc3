"""Time as the device spends it, and what the machine can do at most."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from fieldcast.core import devices
from fieldcast.core.allocator import SWITCH
from fieldcast.errors import FieldcastError

_PEAK_SIZE = 2048


def milliseconds(work: Callable[[], Any], device: str = "cpu") -> float:
    """How long one call takes; on a GPU by events around it on the device, whose queue is empty before."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        return begin.elapsed_time(end)
    began = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - began)


def in_turn(
    works: Mapping[str, Callable[[], Any]], rounds: int, device: str = "cpu", warm_up: int = 2
) -> dict[str, list[float]]:
    """Milliseconds of each work over some rounds, every second round in the other order, after a warm-up."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warm_up + rounds):
        for name in works if number % 2 else reversed(list(works)):
            took = milliseconds(works[name], device)
            if number >= warm_up:
                spent[name].append(took)
    return spent


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median with its spread."""
    return {
        "median": round(statistics.median(values), 4), "min": round(min(values), 4), "max": round(max(values), 4),
        "rounds": len(values),
    }  # fmt: skip


def matmul_peak(device: str = "cpu", rounds: int = 5) -> float:
    """GFLOP/s of a float32 product of two 2048 x 2048 matrices, the best of some rounds.

    As a matrix product and as a 1 x 1 convolution, which on some CPUs runs through a faster library: the better one.
    """
    a, b = (torch.randn(_PEAK_SIZE, _PEAK_SIZE, device=device) for _ in range(2))
    image = a.t().reshape(1, _PEAK_SIZE, 1, _PEAK_SIZE).contiguous(memory_format=torch.channels_last)
    taps = b.reshape(_PEAK_SIZE, _PEAK_SIZE, 1, 1)
    flops = 2 * _PEAK_SIZE**3
    # In true float32 on a GPU too, where convolutions would round to TF32 by default.
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        spent = [
            milliseconds(work, device)
            for work in (lambda: a @ b, lambda: F.conv2d(image, taps))
            for _ in range(rounds + 1)
        ]
    return flops / min(spent) / 1e6


VARIABLES = (
    "OMP_NUM_THREADS", "THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_", "LD_PRELOAD", SWITCH,
)  # fmt: skip
"""What in the environment changes how fast memory comes, and how many threads there are."""


def check_device(device: str) -> str:
    """``auto`` as a device; one that is not there is refused."""
    if device == "auto":
        return devices.device()
    if device not in ("cpu", "cuda"):
        raise FieldcastError(f"there is no device '{device}': choose auto, cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise FieldcastError("torch sees no GPU here: choose --device cpu.")
    return device


def environment(device: str) -> dict[str, Any]:
    """What the figures depend on beside the code: threads, precision of products on a GPU, the allocator."""
    return {
        "device": device, "threads": torch.get_num_threads(), "float32": torch.get_float32_matmul_precision(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }  # fmt: skip
