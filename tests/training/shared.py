"""One of several processes that train and score together: torchrun ... -m tests.training.shared FOLDER."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from fieldcast.core import processes
from fieldcast.data.graph import Graph
from fieldcast.data.windows import Windows
from fieldcast.evaluation import to_jsonable
from fieldcast.forecaster import create, save
from fieldcast.training import TrainingOptions
from fieldcast.training.fitting import fit
from fieldcast.workflows.scoring import score
from tests.contracts.toys.sensor_gate import SensorGate
from tests.tiny import tiny_readings, tiny_windows
from tests.training.common import at_moment


def windows() -> Windows:
    """161 training windows, so that the last of each epoch leaves a second process without any."""
    walk = Graph.from_adjacency(np.array([[0, 1, 0.5], [0, 0, 1], [1, 0, 0]]))
    return tiny_windows(readings=tiny_readings(rows=238, missing=0.1), graph=walk)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    processes.begin()
    data = windows()
    assert len(data.starts("train")) % 32 == 1
    options = TrainingOptions(
        max_epochs=3, batch_size=32, learning_rate=0.01, accelerator="cpu", patience=0, save_every=2, clip_norm=1.0
    )
    # A stage with a loss of its own, of which each process has the whole.
    forecaster = create("gcn_gru", data, [SensorGate()], seed=0, width=4)
    # In float64, for float32 rounds by the shape of a mini-batch, and the processes' mini-batches are others.
    exact = score(create("gcn_gru", data, seed=0, width=4).double(), data, batch_size=10)
    # A buffer that is not saved, like the supports of a graph, must not travel: each process keeps its own.
    forecaster.register_buffer("mark", torch.tensor(float(processes.rank())), persistent=False)
    if "--told" in sys.argv and processes.rank() == 1:  # one of the processes is told, all leave
        at_moment("step:8", lambda: os.kill(os.getpid(), signal.SIGTERM))
    history = fit(forecaster, data, options, folder=folder / "train", resume="--resume" in sys.argv)
    assert float(forecaster.mark) == processes.rank(), "buffers were broadcast"
    last = score(forecaster, data, batch_size=10)
    if processes.first():
        save(forecaster, folder / "model")
        result = {
            "exact": exact.scores(), "after": last.scores(), "beside": last.scores_beside(),
            "rows": [{key: value for key, value in row.items() if key != "seconds"} for row in history.rows],
            "sample": last.sample.forecast, "processes": processes.world(),
        }  # fmt: skip
        (folder / "result.json").write_text(json.dumps(to_jsonable(result)))
