"""Run an experiment file: python experiments/run.py experiments/NAME.yaml [--data FOLDER]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fieldcast.core.allocator import prepare_memory
from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import run_experiment
from fieldcast.workflows.plugins import load_plugin

if __name__ == "__main__":
    prepare_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="the YAML file")
    parser.add_argument("--data", help="folder with the datasets (default: the environment's FIELDCAST_DATA)")
    parser.add_argument("--results", help="where the JSON lines go (default: the folder results beside the file)")
    parser.add_argument("--datasets", nargs="+", default=(), help="only these of its datasets")
    parser.add_argument("--backbones", nargs="+", default=(), help="only these of its backbones and baselines")
    parser.add_argument("--arms", nargs="+", default=(), help="only these of its arms")
    parser.add_argument("--plugin", nargs="+", default=(), help="Python files with stages or backbones of its own")
    parser.add_argument("--keep", help="folder for the trained forecasters, from which others are tuned")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    try:
        for plugin in arguments.plugin:
            load_plugin(plugin)
        results = arguments.results or Path(arguments.experiment).parent / "results"
        run_experiment(
            arguments.experiment, results, arguments.data, sys.stderr.isatty(), arguments.datasets,
            arguments.backbones, arguments.arms, arguments.keep, arguments.plugin,
        )  # fmt: skip
    except FieldcastError as error:
        sys.exit(f"run.py: {error}")
