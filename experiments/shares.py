"""Run experiment files in several processes at once: python experiments/shares.py PLAN --processes 14.

Each line of PLAN is what run.py would be told. Its runs are divided into shares, one for each dataset, backbone and
seed, and the shares of all lines are taken in their order by the processes, which stay: one pays for its start once.
Made for one GPU, on which a small model's step waits for the CPU most of its time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from run import parser, run

from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.plugins import LOADED, load_plugin

_LOADED_ONCE = ["run", "torch", "lightning.pytorch", "fieldcast.training.fitting", "fieldcast.workflows.experiment"]


def shares_of(line: str) -> list[argparse.Namespace]:
    """The shares of a line of the plan, in the order of its file."""
    told = parser().parse_args(shlex.split(line, comments=True))
    for plugin in told.plugin:
        if str(Path(plugin).absolute()) not in LOADED:
            load_plugin(plugin)  # the file may name what it registers
    chosen = {}
    for job in read_experiment(told.experiment).jobs:
        mine = {"datasets": job.dataset, "backbones": job.backbone, "seeds": job.seed}
        if all(not getattr(told, part) or each in getattr(told, part) for part, each in mine.items()):
            only = {part: [each] for part, each in mine.items()}
            chosen[tuple(mine.values())] = argparse.Namespace(**{**vars(told), **only})
    return list(chosen.values())


def work(share: argparse.Namespace) -> None:
    """One share; what is wrong with it is said, and does not stop the others."""
    try:
        run(share)
    except FieldcastError as error:
        print(f"shares.py: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("plan", help="file of lines")
    told.add_argument("--processes", type=int, required=True, help="how many work at once")
    given = told.parse_args()
    try:
        lines = [line for line in Path(given.plan).read_text(encoding="utf-8").splitlines() if shlex.split(line, True)]
        shares = [share for line in lines for share in shares_of(line)]
    except (FieldcastError, OSError) as error:
        sys.exit(f"shares.py: {error}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED_ONCE)
    with ProcessPoolExecutor(given.processes, context) as pool:
        for done in as_completed([pool.submit(work, share) for share in shares]):
            done.result()
