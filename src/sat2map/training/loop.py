"""Owns `train()`: epochs, validation, checkpoints and resume, top to bottom."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from sat2map.errors import DataError, TrainingError
from sat2map.evaluation import report
from sat2map.evaluation.scores import ScoreSheet
from sat2map.inference import Translator
from sat2map.inference.backends.torch import TorchEngine
from sat2map.models.model_file import save_model
from sat2map.run_folder import BEST, LAST, SETTINGS, read_run_settings, refuse_used_folder, start_run
from sat2map.runtime import explain_out_of_memory, step_seed
from sat2map.settings import TrainSettings
from sat2map.training.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from sat2map.training.distributed import Team, restarted, team_up
from sat2map.training.init import START, read_run_start, read_start
from sat2map.training.progress import Display
from sat2map.training.run_writer import Journal
from sat2map.training.samples import draw_grid
from sat2map.training.setup import Setup, set_up, smaller_step_hint
from sat2map.training.step import learning_rate_factor, make_step
from sat2map.training.threads import adapted_threads

LINES_AN_EPOCH = 5  # how often losses are averaged into metrics.jsonl; the only waits for the device
SAMPLES_A_RUN = 50
SAMPLE_ROWS = 4


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
    them validates and writes the files. Started again after one of them died, they go on with the run.

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
        RunError: The run folder already holds something.
        ModelFileError: The model file to fine-tune cannot be used.
        TrainingError: A loss is no longer finite, memory ran out, or another process died.
        OutputError: The run folder cannot be written.
    """
    if restarted() and (settings.run / SETTINGS).exists():
        return resume(settings.run, console=console)
    with team_up(settings.device) as team:
        if team.leads:
            refuse_used_folder(settings.run)  # before the data are read, which may take minutes
        start = read_start(init_from) if init_from else None
        setup = set_up(settings, start, team)
        console = _console(console, team)
        if start:
            console.print(setup.header.notes, highlight=False, markup=False, soft_wrap=True)
        progress = _first_progress(setup)
        if team.leads:
            start_run(setup.settings, {START: start.note()} if start else None)
            save_checkpoint(settings.run, setup.networks, progress)
        return _run(setup, progress, console)


def resume(run: Path, *, console: Console | None = None) -> TrainResult:
    """Go on with a run from its last checkpoint, exactly as if it had never stopped.

    Bit for bit so in the same number of threads: where that matters, set OMP_NUM_THREADS.

    Args:
        run: The run folder.
        console: Where progress is shown; None for standard error.

    Raises:
        RunError: The folder is not that of a run, or its checkpoint is damaged.
        DataError: The pairs are no longer those that the run began with.
        TrainingError: As in `train`.
    """
    settings = read_run_settings(Path(run))
    with team_up(settings.device) as team:
        return _resume(settings, team, _console(console, team))


def _resume(settings: TrainSettings, team: Team, console: Console) -> TrainResult:
    began = (settings.run / CHECKPOINT).exists()  # it was not stopped while it wrote the very first one
    setup = set_up(settings, read_run_start(settings.run, with_weights=not began), team)
    progress = first = _first_progress(setup)
    if began:
        progress = load_checkpoint(settings.run, setup.networks)
    for name, then, now in (
        ("training", progress.fingerprint, first.fingerprint),
        ("validation", progress.val_fingerprint, first.val_fingerprint),
    ):
        if then and then != now:
            raise DataError(
                f"the {name} pairs in {settings.data} have changed since {settings.run} began: "
                "put them back, or start a new run"
            )
    return _run(setup, progress, console)


def _console(console: Console | None, team: Team) -> Console:
    """Return where progress is shown: nowhere, but for the process that leads."""
    return (console or Console(stderr=True)) if team.leads else Console(quiet=True)


def _first_progress(setup: Setup) -> Progress:
    return Progress(fingerprint=setup.train.fingerprint, val_fingerprint=setup.val.fingerprint)


def _run(setup: Setup, progress: Progress, console: Console) -> TrainResult:
    settings, networks, batches, team = setup.settings, setup.networks, setup.batches, setup.team
    run = settings.run
    step_fn = make_step(
        settings, networks, setup.device, setup.dtype, setup.class_weights, setup.palette, team
    )
    total = settings.epochs * batches.per_epoch
    line_every = max(1, batches.per_epoch // LINES_AN_EPOCH)
    journal = Journal(run, first_step=progress.step) if team.leads else None
    display = Display(
        console, total=total, start=progress.step, per_epoch=batches.per_epoch, batch=batches.size
    )
    window: dict[str, torch.Tensor] = {
        name: torch.tensor(value, device=setup.device) for name, value in progress.window.items()
    }
    saved_at = began = time.monotonic()

    def save() -> None:
        nonlocal saved_at, began
        _stop_unless_finite(setup, progress, {name: float(loss) for name, loss in window.items()})
        progress.window = {name: float(loss) for name, loss in window.items()}
        now = time.monotonic()
        progress.seconds += now - began
        saved_at = began = now
        save_checkpoint(run, networks, progress)

    with (
        display,
        _stop_signals() as stop,
        explain_out_of_memory(smaller_step_hint(settings)),
        adapted_threads(setup.device) as adapt_threads,
    ):
        line_began, line_step = time.monotonic(), progress.step
        while progress.step < total and not team.any(stop):
            rate = settings.learning_rate * learning_rate_factor(settings.schedule, progress.step / total)
            for optimizer in (networks.generator_optimizer, networks.discriminator_optimizer):
                optimizer.param_groups[0]["lr"] = rate
            torch.manual_seed(step_seed(settings.seed, "dropout", progress.step))
            adapt_threads()
            losses = step_fn(batches(progress.step), progress.step)
            progress.step += 1
            progress.window_steps += 1
            for name, loss in losses.items():
                window[name] = window.get(name, 0) + loss.float()

            epoch = math.ceil(progress.step / batches.per_epoch)
            if progress.step % line_every == 0 or progress.step == total:
                means = {name: float(total_) / progress.window_steps for name, total_ in window.items()}
                _stop_unless_finite(setup, progress, means)
                now = time.monotonic()
                speed = (progress.step - line_step) * batches.size / (now - line_began)
                line_began, line_step = now, progress.step
                values = {**means, "learning_rate": rate, "images_per_second": speed}
                if journal:
                    journal.log("train", progress.step, epoch, values)
                display.update(progress.step, means, speed)
                window.clear()
                progress.window_steps = 0
            if progress.step % batches.per_epoch == 0 and (
                epoch % settings.validate_every == 0 or progress.step == total
            ):
                _stop_unless_finite(setup, progress, {name: float(loss) for name, loss in window.items()})
                if journal:
                    _validate(setup, progress, journal, display, epoch)
                    save()
                team.wait()
                line_began = time.monotonic()
            elif journal and time.monotonic() - saved_at > 60 * settings.checkpoint_minutes:
                save()
        if journal:
            save()
        team.wait()
    finished = progress.step == total
    if not finished:
        display.say(f"stopped at step {progress.step} of {total}; go on with: sat2map train --resume {run}")
    if journal:
        journal.close()
        report.write_run_report(run)
    return TrainResult(run, run / BEST, run / LAST, finished)


def _validate(setup: Setup, progress: Progress, journal: Journal, display: Display, epoch: int) -> None:
    """Score the generator on the validation pairs as it would be used, and keep it if it is the best."""
    settings, val = setup.settings, setup.val
    header = setup.header.model_copy(update={"steps": progress.step})
    translator = Translator(TorchEngine(setup.networks.best_generator, header, setup.device))
    sheet, rows = ScoreSheet(setup.palette), []
    shown = {int(i) for i in np.linspace(0, len(val) - 1, min(SAMPLE_ROWS, len(val)))}
    for i in range(len(val)):
        source, target = np.ascontiguousarray(val.sources[i]), np.ascontiguousarray(val.targets[i])
        fake = translator(source)
        sheet.add(fake, target, val.groups[i])
        if i in shown:
            rows.append((source, fake, target))
    scores = sheet.scores()
    journal.log("validation", progress.step, epoch, scores)

    merit = scores.get("mean_iou", -scores["l1"])
    header = header.model_copy(update={"scores": scores})
    weights = setup.networks.best_generator.state_dict()
    save_model(settings.run / LAST, weights, header)
    best = progress.best is None or merit > progress.best
    if best:
        progress.best, progress.best_step = merit, progress.step
        save_model(settings.run / BEST, weights, header)
    validations = math.ceil(settings.epochs / settings.validate_every)
    every = math.ceil(validations / SAMPLES_A_RUN)
    if math.ceil(epoch / settings.validate_every) % every == 0 or epoch == settings.epochs:
        journal.show_samples(progress.step, draw_grid(rows))
    told = ("mean_iou", "road_f1", "psnr", "l1")
    line = "  ".join(f"{name} {scores[name]:.3f}" for name in told if name in scores)
    display.say(f"validation after epoch {epoch}:  {line}{'  (best so far)' if best else ''}")


def _stop_unless_finite(setup: Setup, progress: Progress, losses: dict[str, float]) -> None:
    """Stop before anything is written once a loss, a weight or a running statistic is NaN or infinite."""
    bad = [name for name, loss in losses.items() if not math.isfinite(loss)]
    if not bad:
        networks = (setup.networks.generator, setup.networks.discriminator, setup.networks.best_generator)
        weights = [weight for network in networks for weight in network.state_dict().values()]
        finite = torch.stack([torch.isfinite(weight).all() for weight in weights]).all()
        bad = [] if bool(finite) else ["a weight"]
    if bad:
        raise TrainingError(
            f"{bad[0]} is not finite any more near step {progress.step}: the run's files hold the last good "
            f"state; start again with a lower --learning-rate, or with --precision fp32"
        )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, so that the step in hand ends whole; a second ends at once."""
    stop: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def ask_to_stop(number: int, frame: object) -> None:
        stop.append(number)
        for which, handler in before.items():
            signal.signal(which, handler)

    try:
        for which in (signal.SIGINT, signal.SIGTERM):
            before[which] = signal.signal(which, ask_to_stop)
    except ValueError:  # not in the main thread: whoever owns that one decides
        before.clear()
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
