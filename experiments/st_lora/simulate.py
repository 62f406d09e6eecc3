"""Write the simulated dataset of simulated.yaml: sixty nodes that differ in nothing but a gain of their own.

python experiments/st_lora/simulate.py FOLDER

    y[t + 1, i] = a_i x[t, i] + 0.02 e[t, i],  x and e standard normal, a_i of 0.2, 0.6, 1, 1.4 in turn

x is read in every even hour and y in every odd one, so that a look-back of one step holds an x or a y and never both:
nothing that could tell which node it is stands before a y, and what all nodes share can do no better than one gain for
all, whose mean absolute error is 0.4 sqrt(2 / pi) = 0.319.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fieldcast.data.files import write_atomically

NAME, ROWS, NODES, GAINS, NOISE = "own_gains", 4000, 60, (0.2, 0.6, 1.0, 1.4), 0.02
META = """# Simulated: experiments/st_lora/simulate.py.
frequency = "1h"
targets = ["y"]
null_rule = "NaN only (half of the cells are not read: x in odd hours, y in even ones)"
scored_cells = "all cells"
role = "simulated: nodes with gains of their own, told by nothing else"
"""


def values(seed: int = 0) -> np.ndarray:
    """y and x, float32 [ROWS, NODES, 2], NaN where not read."""
    rng = np.random.default_rng(seed)
    x, y = np.full((2, ROWS, NODES), np.nan)
    x[::2] = rng.normal(size=(ROWS // 2, NODES))
    y[1::2] = np.resize(GAINS, NODES) * x[::2] + NOISE * rng.normal(size=(ROWS // 2, NODES))
    return np.stack([y, x], axis=-1).astype(np.float32)


def write(folder: Path) -> Path:
    """The dataset in the common form, in a folder of its name."""
    place = folder / NAME
    place.mkdir(parents=True, exist_ok=True)
    time = np.datetime64("2024-01-01", "s") + np.arange(ROWS) * np.timedelta64(3600, "s")
    arrays = {
        "values": values(), "timestamps": time, "node_ids": np.array([f"n{i}" for i in range(NODES)]),
        "channels": np.array(["y", "x"]),
    }  # fmt: skip
    write_atomically(place / "data.npz", lambda beside: np.savez_compressed(beside, **arrays))
    write_atomically(place / "meta.toml", META)
    return place


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the folder of the dataset goes")
    print(write(parser.parse_args().folder))
