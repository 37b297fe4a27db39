"""`train()` and `resume()`: epochs, validation, checkpoints, top to bottom."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from sat2map.errors import DataError, TrainingError
from sat2map.evaluation import report
from sat2map.evaluation.result import selection_metric
from sat2map.models.model_file import save_model
from sat2map.run_folder import (
    BEST,
    KEPT,
    LAST,
    SETTINGS,
    lock_run,
    read_run_settings,
    refuse_used_folder,
    start_run,
    write_run_settings,
)
from sat2map.runtime import explain_out_of_memory, step_seed
from sat2map.settings import TrainSettings, change
from sat2map.training.checkpoint import CHECKPOINT, TrainState, load_checkpoint, save_checkpoint
from sat2map.training.distributed import DistributedContext, init_distributed, restarted
from sat2map.training.init import START, read_init, read_run_init
from sat2map.training.progress import Display
from sat2map.training.run_writer import RunWriter
from sat2map.training.samples import draw_batch
from sat2map.training.schedule import learning_rate_factor, progress_of
from sat2map.training.setup import Setup, set_up, smaller_step_hint
from sat2map.training.signals import stop_signals
from sat2map.training.threads import adapted_threads
from sat2map.training.validation import validate

LINES_AN_EPOCH = 5  # how often losses are averaged into metrics.jsonl; the only waits for the device
SAMPLES_A_RUN = 50


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
            return _run(setup, state, display)


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
    return _run(setup, state, display)


def _display(console: Console | None, context: DistributedContext) -> Display:
    """Return where progress is shown: nowhere, except for the main process."""
    return Display((console or Console(stderr=True)) if context.is_main_process else Console(quiet=True))


def _first_state(setup: Setup) -> TrainState:
    return TrainState(fingerprint=setup.train.fingerprint, val_fingerprint=setup.val.fingerprint)


def _run(setup: Setup, state: TrainState, display: Display) -> TrainResult:
    settings, networks, batches, context = setup.settings, setup.networks, setup.batches, setup.context
    schedule, run = settings.schedule, settings.output.run
    step_fn = setup.make_step()
    total = schedule.epochs * batches.per_epoch
    line_every = max(1, batches.per_epoch // LINES_AN_EPOCH)
    writer = RunWriter(run, first_step=state.step) if context.is_main_process else None
    sums: dict[str, torch.Tensor] = {
        name: torch.tensor(value, device=setup.device) for name, value in state.loss_sums.items()
    }
    saved_at = began = time.monotonic()
    seconds_before = state.seconds

    def save() -> None:
        nonlocal saved_at
        state.loss_sums = {name: float(loss) for name, loss in sums.items()}
        _stop_unless_finite(setup, state, state.loss_sums)
        saved_at = time.monotonic()
        state.seconds = seconds_before + saved_at - began
        save_checkpoint(run, networks, state)

    def progress() -> float:
        seconds = context.max(seconds_before + time.monotonic() - began) if schedule.minutes else 0.0
        return progress_of(schedule, state.step, total, seconds)

    def has_ended() -> bool:
        return progress() >= 1 or (schedule.patience is not None and state.stale >= schedule.patience)

    left = None if schedule.minutes is None else 60 * schedule.minutes - seconds_before
    display.start(total=total, start=state.step, per_epoch=batches.per_epoch, seconds=left)
    announce = lambda: display.say("stopping after this step; once more stops at once")  # noqa: E731
    with (
        display,
        stop_signals(announce) as stop,
        explain_out_of_memory(smaller_step_hint(settings)),
        adapted_threads(setup.device) as adapt_threads,
    ):
        line_began, line_step, done = time.monotonic(), state.step, has_ended()
        while not done and not context.any(stop):
            factor = learning_rate_factor(schedule, progress(), state.step)
            networks.set_learning_rate(settings.optimizer.learning_rate * factor)
            torch.manual_seed(step_seed(settings.compute.seed, "dropout", state.step))
            adapt_threads()
            batch = batches(state.step)
            if state.step == 0 and writer:
                writer.show_batch(draw_batch(batch, setup.tensors))
            losses = step_fn(batch, state.step)
            state.step += 1
            state.loss_steps += 1
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.float()
            display.advance(state.step)

            done = has_ended()
            epoch = math.ceil(state.step / batches.per_epoch)
            if state.step % line_every == 0 or done:
                means = {name: float(loss) / state.loss_steps for name, loss in sums.items()}
                _stop_unless_finite(setup, state, means)
                now = time.monotonic()
                speed = (state.step - line_step) * batches.size / (now - line_began)
                line_began, line_step = now, state.step
                rate = settings.optimizer.learning_rate * factor
                if writer:
                    values = {**means, "learning_rate": rate, "images_per_second": speed}
                    writer.log("train", state.step, epoch, values)
                display.update(state.step, means, speed)
                sums.clear()
                state.loss_steps = 0
            at_epoch_end = state.step % batches.per_epoch == 0 and epoch % schedule.validate_every == 0
            if done or at_epoch_end:
                _stop_unless_finite(setup, state, {name: float(loss) for name, loss in sums.items()})
                if writer:
                    _validate(setup, state, writer, display, epoch, is_last=done)
                    save()
                context.wait()
                # Only the main process knows the score.
                state.stale = int(context.max(state.stale if writer else 0))
                done = done or has_ended()
                line_began = time.monotonic()
            elif writer and time.monotonic() - saved_at > 60 * settings.output.checkpoint_minutes:
                save()
        if writer:
            save()
        context.wait()
    if not done:
        display.say(f"stopped at step {state.step} of {total}; resume the run to continue")
    elif state.step < total:
        why = f"{schedule.minutes:g} minutes are over" if progress() >= 1 else "the score no longer rises"
        display.say(f"finished at step {state.step} of {total}: {why}")
    if writer:
        writer.close()
        report.write_run_report(run)
    return TrainResult(run, run / BEST, run / LAST, done)


def _validate(
    setup: Setup, state: TrainState, writer: RunWriter, display: Display, epoch: int, *, is_last: bool
) -> None:
    """Score the generator on the validation pairs, and keep it if it is the best."""
    schedule, output = setup.settings.schedule, setup.settings.output
    found = validate(setup, state.step)
    writer.log("validation", state.step, epoch, found.scores)

    header, weights = found.header, found.generator.state_dict()
    save_model(output.run / LAST, weights, header)
    metric = selection_metric(found.scores)
    is_best = state.best is None or metric > state.best
    state.stale += 1
    if is_best:
        state.best, state.best_step, state.stale = metric, state.step, 0
        save_model(output.run / BEST, weights, header)
        if setup.palette is not None:
            writer.show_confusion(setup.palette.names, found.confusion)
    if output.keep_last:
        save_model(output.run / KEPT / f"step-{state.step:07d}.safetensors", weights, header)
        for old in sorted((output.run / KEPT).glob("step-*.safetensors"))[: -output.keep_last]:
            old.unlink()
    validations = math.ceil(schedule.epochs / schedule.validate_every)
    every = math.ceil(validations / SAMPLES_A_RUN)
    if math.ceil(epoch / schedule.validate_every) % every == 0 or is_last:
        writer.show_samples(state.step, found.samples)
    shown = ("mean_iou", "road_f1", "psnr", "l1")
    line = "  ".join(f"{name} {found.scores[name]:.3f}" for name in shown if name in found.scores)
    display.say(f"validation after epoch {epoch}:  {line}{'  (best so far)' if is_best else ''}")


def _stop_unless_finite(setup: Setup, state: TrainState, losses: dict[str, float]) -> None:
    """Stop before anything is written once a loss, a weight or a running statistic is NaN or infinite."""
    bad = [name for name, loss in losses.items() if not math.isfinite(loss)]
    if not bad:
        networks = (setup.networks.generator, setup.networks.discriminator, setup.networks.best_generator)
        weights = [weight for network in networks for weight in network.state_dict().values()]
        finite = torch.stack([torch.isfinite(weight).all() for weight in weights]).all()
        bad = [] if bool(finite) else ["a weight"]
    if bad:
        raise TrainingError(
            f"{bad[0]} is not finite any more near step {state.step}: the run's files hold the last good "
            "state",
            hint="start again with a lower learning_rate, or with precision fp32",
            setting="learning_rate",
        )
