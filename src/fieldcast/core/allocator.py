"""How this process takes and keeps memory: on a CPU fresh memory costs more time than arithmetic does."""

from __future__ import annotations

import ctypes
import os
import sys

SWITCH = "FIELDCAST_ALLOCATOR"
_MALLOPT = {"M_MMAP_THRESHOLD": (-3, 2_000_000_000), "M_TRIM_THRESHOLD": (-1, 2_000_000_000)}  # of malloc.h; C ints
_OWN = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def prepare_memory() -> None:
    """Keep freed tensors for the next ones, and take large ones in large pages; call it before torch's first tensor.

    By ``mallopt`` the C library gives memory of up to 2 GB back to itself and not to the system, which would hand out
    every page anew, filled with zeros; ``THP_MEM_ALLOC_ENABLE`` is torch's own variable. The command `fieldcast` calls
    this by itself. Linux with glibc alone, elsewhere nothing happens. ``FIELDCAST_ALLOCATOR=system`` in the environment
    leaves all as it is; so does, for its part, who sets THP_MEM_ALLOC_ENABLE, GLIBC_TUNABLES or a MALLOC_ variable.
    """
    if sys.platform != "linux" or os.environ.get(SWITCH) == "system":
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None and not any(name in os.environ for name in _OWN):
        for parameter, value in _MALLOPT.values():
            mallopt(parameter, value)  # 0 where it is refused: then all stays as it was
