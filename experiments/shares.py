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

from run import load_plugins, parser, run

from fieldcast.core.allocator import prepare_memory
from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment_file import read_experiment

_LOADED_ONCE = ["run", "torch", "lightning.pytorch", "fieldcast.training.fitting", "fieldcast.workflows.experiment"]


def shares_of(plan: Path) -> list[argparse.Namespace]:
    """The shares of all lines of a plan, in their order."""
    try:
        lines = list(enumerate((shlex.split(line, comments=True) for line in plan.read_text("utf-8").splitlines()), 1))
    except (OSError, ValueError) as error:
        raise FieldcastError(f"{plan} cannot be read ({' '.join(str(error).split())[:120]}): check it.") from None
    shares = [share for number, words in lines if words for share in _shares_of(f"{plan}, line {number}", words)]
    if not shares:
        raise FieldcastError(f"{plan} names no run: give lines of what run.py would be told.")
    return shares


def _shares_of(where: str, words: list[str]) -> list[argparse.Namespace]:
    told = parser(prog=where).parse_args(words)
    load_plugins(told)  # the file may name what they register
    chosen = {}
    for job in read_experiment(told.experiment).jobs:
        mine = {"datasets": job.dataset, "backbones": job.backbone, "seeds": job.seed}
        if all(not getattr(told, part) or each in getattr(told, part) for part, each in mine.items()):
            only = {part: [each] for part, each in mine.items()}
            chosen[tuple(mine.values())] = argparse.Namespace(**{**vars(told), **only})
    for part, place in (("datasets", 0), ("backbones", 1), ("seeds", 2)):
        for each in getattr(told, part):
            if each not in {key[place] for key in chosen}:
                raise FieldcastError(f"{where} chooses nothing of the {part} '{each}': mend the name, or leave it out.")
    return list(chosen.values())


def work(share: argparse.Namespace) -> bool:
    """Run one share; what is wrong with it is said, and does not stop the others."""
    try:
        run(share)
    except FieldcastError as error:
        print(f"shares.py: {error}", file=sys.stderr, flush=True)
        return False
    return True


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("plan", type=Path, help="file of lines")
    told.add_argument("--processes", type=int, required=True, help="how many work at once")
    given = told.parse_args()
    if given.processes < 1:
        sys.exit(f"shares.py: {given.processes} processes do nothing: give 1 or more.")
    try:
        shares = shares_of(given.plan)
    except FieldcastError as error:
        sys.exit(f"shares.py: {error}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED_ONCE)
    with ProcessPoolExecutor(given.processes, context, initializer=prepare_memory) as pool:
        done = [each.result() for each in as_completed([pool.submit(work, share) for share in shares])]
    if not all(done):
        sys.exit(f"shares.py: {done.count(False)} of {len(done)} shares failed, see above: mend them and run again.")


if __name__ == "__main__":
    main()
