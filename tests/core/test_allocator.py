"""Freed memory is kept and reused, unless told otherwise; each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SAID = """
import ctypes, json, os, resource
import fieldcast
fieldcast.prepare_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def fill():
    address = libc.malloc(64 << 20)
    ctypes.memset(address, 1, 64 << 20)
    libc.free(address)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([os.environ.get("THP_MEM_ALLOC_ENABLE"), faults]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
@pytest.mark.parametrize(
    ("given", "pages", "kept"),
    [
        ({}, "1", True), ({"FIELDCAST_ALLOCATOR": "system"}, None, False), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0", True),
        ({"MALLOC_MMAP_THRESHOLD_": "131072"}, "1", False),
    ],
)  # fmt: skip
def test_freed_memory_is_kept(given: dict[str, str], pages: str | None, kept: bool) -> None:
    names = ("FIELDCAST_ALLOCATOR", "THP_MEM_ALLOC_ENABLE", "GLIBC_TUNABLES")
    bare = {name: value for name, value in os.environ.items() if name not in names and not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, check=True, env=bare | given)
    thp, faults = json.loads(done.stdout)
    assert thp == pages
    assert (faults < 100) is kept, f"{faults} pages were fetched anew"
