"""Train until a moment, then die by SIGKILL: python -m tests.training.child FOLDER MOMENT."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from tests.training.common import at_moment, train

if __name__ == "__main__":
    torch.set_num_threads(1)
    at_moment(sys.argv[2], lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(Path(sys.argv[1]), resume=True)
