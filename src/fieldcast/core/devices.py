"""Where to work: on the CPU, or on a GPU where torch has one."""

from __future__ import annotations

from typing import Literal

import torch

from fieldcast.errors import FieldcastError

Accelerator = Literal["auto", "cpu", "gpu"]


def device(accelerator: Accelerator = "auto") -> str:
    """The device of torch for a choice: ``auto`` is a GPU where there is one; of several, the process's own.

    Only CUDA counts: sums of errors are in float64, which Apple's GPUs do not have.

    Raises:
        FieldcastError: ``gpu`` was asked for, and torch sees none.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return "cuda"
    if accelerator == "gpu":
        raise FieldcastError("accelerator is 'gpu', and torch sees no GPU of CUDA on this machine: choose auto or cpu.")
    return "cpu"
