"""Run an experiment file: python experiments/run.py experiments/NAME.yaml [--data FOLDER]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import run_experiment

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="the YAML file")
    parser.add_argument("--data", help="folder with the datasets (default: the environment's FIELDCAST_DATA)")
    parser.add_argument("--results", default=Path(__file__).parent / "results", help="where the JSON lines go")
    arguments = parser.parse_args()
    try:
        run_experiment(arguments.experiment, arguments.results, arguments.data, progress=sys.stderr.isatty())
    except FieldcastError as error:
        sys.exit(f"run.py: {error}")
