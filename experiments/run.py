"""Run an experiment file: python experiments/run.py experiments/NAME.yaml [--data FOLDER]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fieldcast.core.allocator import prepare_memory
from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import run_experiment
from fieldcast.workflows.plugins import LOADED, load_plugin


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """What the command line may say; its errors begin with ``prog``."""
    told = argparse.ArgumentParser(prog, description=__doc__)
    told.add_argument("experiment", help="the YAML file")
    told.add_argument("--data", help="folder with the datasets (default: the environment's FIELDCAST_DATA)")
    told.add_argument("--results", help="where the JSON lines go (default: the folder results beside the file)")
    told.add_argument("--datasets", nargs="+", default=(), help="only these of its datasets")
    told.add_argument("--backbones", nargs="+", default=(), help="only these of its backbones and baselines")
    told.add_argument("--arms", nargs="+", default=(), help="only these of its arms")
    told.add_argument("--seeds", nargs="+", type=int, default=(), help="only these of its seeds")
    told.add_argument("--plugin", nargs="+", default=(), help="Python files with stages or backbones of its own")
    told.add_argument("--keep", help="folder for the trained forecasters, from which others are tuned")
    told.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    return told


def load_plugins(told: argparse.Namespace) -> None:
    """Load its plugins, each once in a process."""
    for plugin in told.plugin:
        if str(Path(plugin).absolute()) not in LOADED:
            load_plugin(plugin)


def run(told: argparse.Namespace) -> None:
    """Do what it says."""
    if told.threads:
        import torch

        torch.set_num_threads(told.threads)
    load_plugins(told)
    run_experiment(
        told.experiment, told.results or Path(told.experiment).parent / "results", told.data, sys.stderr.isatty(),
        told.datasets, told.backbones, told.arms, told.seeds, told.keep, told.plugin,
    )  # fmt: skip


if __name__ == "__main__":
    prepare_memory()
    try:
        run(parser().parse_args())
    except FieldcastError as error:
        sys.exit(f"run.py: {error}")
