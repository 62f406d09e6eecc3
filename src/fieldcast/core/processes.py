"""Several processes that train or score together, as torchrun starts them; one alone needs none of it.

Every function is for all processes to call at the same place, and does nothing where there is only one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor

from fieldcast.errors import FieldcastError


def begin(accelerator: str = "auto") -> None:
    """Join the processes that torchrun started (it sets RANK, WORLD_SIZE and where they meet).

    Each takes the GPU of its LOCAL_RANK, unless there is none or ``accelerator`` is ``cpu``.
    """
    wanted = os.environ.get("WORLD_SIZE", "1")
    if wanted == "1" or not distributed.is_available() or distributed.is_initialized():
        return
    if "RANK" not in os.environ or not wanted.isdecimal():
        raise FieldcastError(
            f"the environment asks for WORLD_SIZE={wanted} processes but names no RANK: start them with torchrun, or "
            "unset WORLD_SIZE."
        )
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    if on_gpu:
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise FieldcastError(
                f"more processes than GPUs were started here ({gpus}): give a smaller --nproc-per-node, or the "
                "accelerator cpu."
            )
        torch.cuda.set_device(local)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    except (ValueError, RuntimeError) as error:
        raise FieldcastError(
            f"the {wanted} processes cannot meet ({' '.join(str(error).split())[:120]}): start them with torchrun."
        ) from None


def rank() -> int:
    """Which of the processes this is, from 0."""
    return distributed.get_rank() if _several() else 0


def world() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if _several() else 1


def first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return rank() == 0


def wait() -> None:
    """Go on when all have come here: what the first has written can be read by the others."""
    if _several():
        distributed.barrier()


def added(tensor: Tensor) -> Tensor:
    """The sum over all processes, of a tensor that has the same shape in each."""
    if not _several():
        return tensor
    total = tensor.detach().clone()
    distributed.all_reduce(total)
    return total


def share(tensor: Tensor) -> None:
    """Give every process the first one's values, in place."""
    if _several():
        distributed.broadcast(tensor, 0)


def gathered(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The arrays of every process, in their order; they travel as NPZ, and nothing is pickled."""
    if not _several():
        return [dict(arrays)]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    mine = torch.from_numpy(np.frombuffer(buffer.getvalue(), dtype=np.uint8).copy())
    length = torch.tensor([len(mine)])
    lengths = [torch.zeros_like(length) for _ in range(world())]
    distributed.all_gather(lengths, length)
    longest = max(int(each) for each in lengths)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(mine)] = mine
    parts = [torch.zeros_like(padded) for _ in range(world())]
    distributed.all_gather(parts, padded)
    found = []
    for part, count in zip(parts, lengths, strict=True):
        with np.load(io.BytesIO(part[: int(count)].numpy().tobytes()), allow_pickle=False) as content:
            found.append({name: content[name] for name in content.files})
    return found


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
