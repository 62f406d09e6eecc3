"""Run an experiment file: python experiments/run.py experiments/NAME.yaml [--data FOLDER]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fieldcast.core.allocator import prepare_memory
from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import run_experiment

if __name__ == "__main__":
    prepare_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="the YAML file")
    parser.add_argument("--data", help="folder with the datasets (default: the environment's FIELDCAST_DATA)")
    parser.add_argument("--results", default=Path(__file__).parent / "results", help="where the JSON lines go")
    parser.add_argument("--datasets", nargs="+", default=(), help="only these of its datasets")
    parser.add_argument("--backbones", nargs="+", default=(), help="only these of its backbones and baselines")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    try:
        run_experiment(
            arguments.experiment, arguments.results, arguments.data, sys.stderr.isatty(), arguments.datasets,
            arguments.backbones,
        )  # fmt: skip
    except FieldcastError as error:
        sys.exit(f"run.py: {error}")
