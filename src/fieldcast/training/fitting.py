"""fit: train a forecaster on windows, resumable to the bit."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from fieldcast.core import processes
from fieldcast.core.devices import device
from fieldcast.core.seeding import seeded
from fieldcast.core.task import Task
from fieldcast.data.loader import WindowLoader
from fieldcast.data.windows import Windows
from fieldcast.errors import Diverged, FieldcastError
from fieldcast.forecaster import Forecaster
from fieldcast.training.callbacks import Bar, SaveAtEnd, Watch
from fieldcast.training.checkpoint import AtomicCheckpointIO, Resumable
from fieldcast.training.module import TrainingModule
from fieldcast.training.options import TrainingOptions
from fieldcast.training.recompute import recomputing
from fieldcast.training.termination import Termination

CHECKPOINT = "last.ckpt"
LOG = "log.csv"


@dataclass(frozen=True)
class History:
    """What a training run did: one row an epoch, the epoch whose weights were kept, and its validation score.

    Where what stood before the first step was a candidate too, ``start_score`` is its score, and epoch -1 that it is
    what was kept.
    """

    rows: list[dict[str, float]]
    best_epoch: int
    best_score: float
    start_score: float | None = None


def fit(
    forecaster: Forecaster,
    windows: Windows,
    options: TrainingOptions | None = None,
    *,
    seed: int = 0,
    task: Task | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    label: str = "training",
    tune: bool = False,
) -> History:
    """Train a forecaster; afterwards it holds the weights with the best validation score, in eval mode, on the
    device where it trained.

    The score is the MAE in scaled units over the cells that the dataset's rule scores, mean over the horizon, then over
    target channels. With a ``folder`` a
    checkpoint and a log are kept there; ``resume`` goes on from that checkpoint, and gives the same bits on CPU as a
    run that was never interrupted. A backbone that is solved and not trained is solved. With ``tune`` the
    forecaster was trained before: what it is now stands in the choice of weights too, so that none is made worse on
    validation, and a solved backbone is not solved again.

    Started by torchrun, several processes share each mini-batch of ``batch_size`` windows and the validation, and end
    with the same weights as one process would (but for rounding, and for what dropout and scheduled sampling draw);
    the first writes.
    """
    options = options or TrainingOptions()
    processes.begin(options.accelerator)
    windows = windows.under(forecaster.form)
    backbone = forecaster.backbone
    if not backbone.trainable and not any(p.requires_grad for p in forecaster.parameters()):
        backbone.fit_closed_form(windows)
        forecaster.eval()
        return History([], -1, float("nan"))
    folder = None if folder is None else Path(folder)
    checkpoint = None if folder is None else folder / CHECKPOINT
    if resume and (checkpoint is None or not checkpoint.exists()):
        if checkpoint is None:
            raise FieldcastError("resume needs the folder of the run that was interrupted: give folder.")
        resume = False  # interrupted before its first checkpoint: start anew, with the same bits
    if not backbone.trainable and not resume and not tune:
        backbone.fit_closed_form(windows)
    with seeded(seed):
        return _run(forecaster, windows, options, seed, task or options.task(), folder, resume, progress, label, tune)


def _run(
    forecaster: Forecaster, windows: Windows, options: TrainingOptions, seed: int, task: Task, folder: Path | None,
    resume: bool, progress: bool, label: str, tune: bool,
) -> History:  # fmt: skip
    rank, world = processes.rank(), processes.world()
    if options.batch_size % world:
        raise FieldcastError(
            f"a mini-batch of {options.batch_size} windows cannot be shared evenly by {world} processes: give a "
            "batch_size that is a multiple of their number."
        )
    if len(windows.starts("validation")) < world:
        raise FieldcastError(
            f"the validation part has {len(windows.starts('validation'))} windows for {world} processes: start fewer."
        )
    where = device(options.accelerator)
    whole = options.whole_horizon_from(forecaster.form.horizon)
    if options.max_epochs <= whole:
        raise FieldcastError(
            f"the curriculum trains on all {forecaster.form.horizon} steps from epoch {whole} on, and max_epochs is "
            f"{options.max_epochs}: give {whole + 1} or more, or a smaller curriculum."
        )
    each = options.batch_size // world
    train = WindowLoader(windows, "train", each, shuffle=True, seed=seed, rank=rank, world=world, even=True)
    # A GPU is idle while small mini-batches are launched, and keeps nothing for a backward pass here.
    most = max(64, min(256, 4 * options.batch_size)) if where == "cuda" else 64
    validation = WindowLoader(windows, "validation", max(options.batch_size, most), rank=rank, world=world)
    forecaster.progress.epochs = options.max_epochs
    forecaster.progress.steps = options.max_epochs * len(train)
    module = TrainingModule(forecaster, options, task, windows.rules[0], windows.active)
    checkpoint = None if folder is None else folder / CHECKPOINT
    termination = Termination()
    resumable = Resumable(checkpoint, options.save_every, termination, seed)
    watch = Watch(module, None if folder is None else folder / LOG)
    bar = Bar(label)
    callbacks = [termination, resumable, watch, *([bar] if progress else []), SaveAtEnd(resumable)]
    on_interrupt = signal.getsignal(signal.SIGINT)
    with _quiet():
        trainer = pl.Trainer(
            max_epochs=options.max_epochs,
            accelerator="gpu" if where == "cuda" else "cpu",
            **_devices(world),
            precision="bf16-mixed" if options.precision == "bf16" else "32-true",
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            # Lightning's look at the whole validation before the first step.
            num_sanity_val_steps=-1 if tune and not resume else 0,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        module.train()
        try:
            termination.listen()
            with recomputing(forecaster.backbone) if options.recompute else nullcontext():
                trainer.fit(module, train, validation, ckpt_path=checkpoint if resume else None, weights_only=True)
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            said = f"the checkpoint {checkpoint} is of another model: resume with the settings that it was begun with."
            raise FieldcastError(said) from None
        except FieldcastError as error:
            if watch.weights:
                forecaster.load_state_dict(watch.weights)
                if isinstance(error, Diverged) and watch.best_epoch >= 0:
                    error.best_epoch = watch.best_epoch
            forecaster.eval()
            raise
        except SystemExit:  # Lightning's answer to Ctrl-C, with every further one ignored
            if not trainer.interrupted:
                raise
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None
        finally:
            module.replays.clear()
            bar.close()
            termination.close()
    if not watch.weights:
        raise FieldcastError(
            "no epoch had a finite validation score: look at the validation rows and the learning rate."
        )
    forecaster.load_state_dict(watch.weights)
    forecaster.to(where).eval()  # Lightning has moved it to the CPU
    return History(watch.rows, watch.best_epoch, watch.best, watch.start)


def _devices(world: int) -> dict[str, Any]:
    """What Lightning must know of the processes that torchrun started."""
    if world == 1:
        return {"devices": 1}
    from lightning.pytorch.strategies import DDPStrategy

    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    # Supports of a graph are buffers: sent along in each step they would cost more than the gradients.
    strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    return {"devices": here, "num_nodes": world // here, "strategy": strategy}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's hints (worker counts, unused GPUs) are not for our users; its errors are."""
    with warnings.catch_warnings():
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        for message in (".*does not have many workers.*", ".*GPU available but not used.*", ".*Starting from v1.9.*"):
            warnings.filterwarnings("ignore", message)
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # Gradients of captured steps come from the stream of their capture, for which torch waits.
        warnings.filterwarnings("ignore", message=".*AccumulateGrad node's stream does not match.*")
        yield
