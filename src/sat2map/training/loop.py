"""`train()` and `resume()`: a new run folder, or one that has begun, and the training into it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sat2map.errors import DataError
from sat2map.evaluation import report
from sat2map.run_folder import (
    BEST,
    LAST,
    SETTINGS,
    lock_run,
    read_run_settings,
    refuse_used_folder,
    start_run,
    write_run_settings,
)
from sat2map.settings import TrainSettings, change
from sat2map.training.checkpoint import CHECKPOINT, TrainState, load_checkpoint, save_checkpoint
from sat2map.training.distributed import DistributedContext, init_distributed, restarted
from sat2map.training.epochs import Epochs
from sat2map.training.init import START, read_init, read_run_init
from sat2map.training.progress import Display
from sat2map.training.setup import Setup, set_up


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves.

    Attributes:
        run: The run folder.
        best: The best generator by validation score.
        last: The last one.
        finished: False where it was stopped and can be resumed.
    """

    run: Path
    best: Path
    last: Path
    finished: bool


def train(
    settings: TrainSettings, *, init_from: Path | None = None, console: Console | None = None
) -> TrainResult:
    """Train a generator on pairs of images, into a new run folder.

    Where `torchrun` has started several processes, each calls this: they share every batch, and the first of
    them validates and writes the files. Started again after one of them died, they resume the run.

    Example:
        >>> from sat2map.settings import load_settings
        >>> from sat2map.training.loop import train
        >>> train(load_settings("tiny", data="pairs", run="runs/first"))  # doctest: +SKIP

    Args:
        settings: All of them, from `sat2map.settings.load_settings`.
        init_from: A model file to fine-tune. Its network wins over that of the settings; its first layer is
            fitted where the data have another number of bands, and its last where they have other classes.
        console: Where progress is shown; None for standard error.

    Raises:
        DataError: The data cannot be used.
        RunError: The run folder already holds something, or another process trains into it.
        ModelFileError: The model file to fine-tune cannot be used.
        TrainingError: A loss is no longer finite, or another process died.
        OutOfMemoryError: A step needs more memory than there is.
        OutputError: The run folder cannot be written.
    """
    run = settings.output.run
    if restarted() and (run / SETTINGS).exists():
        return resume(run, console=console)
    with init_distributed(settings.compute.device) as context:
        if context.is_main_process:
            refuse_used_folder(run)  # before the data are read, which may take minutes
        with lock_run(run) if context.is_main_process else nullcontext():
            init = read_init(init_from) if init_from else None
            display = _display(console, context)
            setup = set_up(settings, init, context, report=display.say)
            for note in setup.notes:
                display.say(note)
            state = _first_state(setup)
            if context.is_main_process:
                start_run(setup.settings, {START: init.note()} if init else None)
                save_checkpoint(run, setup.networks, state)
            return _train(setup, state, display)


def resume(
    run: Path,
    *,
    data: Path | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    console: Console | None = None,
) -> TrainResult:
    """Continue a run from its last checkpoint, exactly as if it had never stopped.

    Bit for bit so in the same number of threads: where that matters, set OMP_NUM_THREADS.

    Args:
        run: The run folder.
        data: Where its pairs are now, if they have moved; their contents must be the same.
        epochs: Train for so many epochs in all instead, as for a finished run; the learning rate is then that
            of the longer schedule.
        minutes: Train for so many minutes in all instead.
        console: Where progress is shown; None for standard error.

    Raises:
        RunError: The folder is not that of a run, its checkpoint is damaged, or another process trains there.
        DataError: The pairs are no longer those that the run began with.
        TrainingError: As in `train`.
    """
    run = Path(run)
    settings = read_run_settings(run)
    changes = {"data": data, "epochs": epochs, "minutes": minutes}
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        settings = change(settings, str(run), **given)
    with (
        init_distributed(settings.compute.device) as context,
        lock_run(run) if context.is_main_process else nullcontext(),
    ):
        return _resume(settings, context, _display(console, context), has_changed=bool(given))


def _resume(
    settings: TrainSettings, context: DistributedContext, display: Display, *, has_changed: bool
) -> TrainResult:
    run = settings.output.run
    began = (run / CHECKPOINT).exists()  # it was not stopped while it wrote the very first one
    init = read_run_init(run, with_weights=not began)
    setup = set_up(settings, init, context, with_weights=not began, report=display.say)
    state = first = _first_state(setup)
    if began:
        state = load_checkpoint(run, setup.networks)
    for name, then, now in (
        ("training", state.fingerprint, first.fingerprint),
        ("validation", state.val_fingerprint, first.val_fingerprint),
    ):
        if then and then != now:
            raise DataError(
                f"the {name} pairs in {settings.data.path} have changed since {run} began",
                hint="put them back, or start a new run",
                setting="data",
            )
    if has_changed and context.is_main_process:  # now that they fit the run
        write_run_settings(settings)
    return _train(setup, state, display)


def _display(console: Console | None, context: DistributedContext) -> Display:
    """Return where progress is shown: nowhere, except for the main process."""
    return Display((console or Console(stderr=True)) if context.is_main_process else Console(quiet=True))


def _first_state(setup: Setup) -> TrainState:
    return TrainState(fingerprint=setup.train.fingerprint, val_fingerprint=setup.val.fingerprint)


def _train(setup: Setup, state: TrainState, display: Display) -> TrainResult:
    run = setup.settings.output.run
    finished = Epochs(setup, state, display).run()
    if setup.context.is_main_process:
        display.say("writing the report")
        report.write_run_report(run)
    return TrainResult(run, run / BEST, run / LAST, finished)
