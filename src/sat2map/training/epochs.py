"""The loop of a training: steps, lines of metrics, validations and checkpoints until it has ended."""

from __future__ import annotations

import math
import time

import torch

from sat2map.errors import TrainingError
from sat2map.evaluation.result import selection_metric
from sat2map.models.model_file import save_model
from sat2map.run_folder import BEST, KEPT, LAST
from sat2map.runtime import explain_out_of_memory, step_seed
from sat2map.training.checkpoint import TrainState, save_checkpoint
from sat2map.training.progress import Display
from sat2map.training.run_writer import RunWriter
from sat2map.training.samples import draw_batch
from sat2map.training.schedule import learning_rate_factor, progress_of
from sat2map.training.setup import Setup, smaller_step_hint
from sat2map.training.signals import stop_signals
from sat2map.training.threads import adapted_threads
from sat2map.training.validation import Validation, validate

LINES_AN_EPOCH = 5  # how often losses are averaged into metrics.jsonl; the only waits for the device
SAMPLES_A_RUN = 50


class Epochs:
    """The epochs of a training that are left; only the main process validates and writes."""

    def __init__(self, setup: Setup, state: TrainState, display: Display) -> None:
        """Prepare them.

        Args:
            setup: What to train, and on what.
            state: How far it is; changed as it goes on.
            display: Where progress is shown.
        """
        self._setup, self._state, self._display = setup, state, display
        self._schedule, self._output = setup.settings.schedule, setup.settings.output
        self._per_epoch = setup.batches.per_epoch
        self._total = self._schedule.epochs * self._per_epoch
        self._update = setup.make_step()
        self._sums: dict[str, torch.Tensor] = {  # on the device, which nothing waits for
            name: torch.tensor(value, device=setup.device) for name, value in state.loss_sums.items()
        }
        self._writer: RunWriter | None = None
        if setup.context.is_main_process:
            self._writer = RunWriter(self._output.run, first_step=state.step)
        self._began = self._saved_at = self._line_began = time.monotonic()
        self._seconds_before, self._line_step = state.seconds, state.step

    def run(self) -> bool:
        """Train until the last epoch, the end of the time, no better scores, or a signal.

        Returns:
            Whether the training has ended; if not, it can be resumed.

        Raises:
            TrainingError: A loss or a weight is no longer finite, or another process died.
            OutOfMemoryError: A step needs more memory than there is.
            OutputError: The run folder cannot be written.
        """
        display, context, minutes = self._display, self._setup.context, self._schedule.minutes
        left = None if minutes is None else 60 * minutes - self._seconds_before
        display.start(total=self._total, start=self._state.step, per_epoch=self._per_epoch, seconds=left)
        announce = lambda: display.say("stopping after this step; once more stops at once")  # noqa: E731
        with (
            stop_signals(announce) as stop,  # first: Ctrl-C counts from the bar's first moment
            display,
            explain_out_of_memory(smaller_step_hint(self._setup.settings)),
            adapted_threads(self._setup.device) as adapt_threads,
        ):
            self._line_began, done = time.monotonic(), self._has_ended()
            while not done and not context.any(stop):
                adapt_threads()
                self._step()
                done = self._has_ended()
                if done or self._state.step % max(1, self._per_epoch // LINES_AN_EPOCH) == 0:
                    self._log()
                if done or self._is_validation_due():
                    self._validate(is_last=done)
                    done = done or self._has_ended()
                elif self._is_checkpoint_due():
                    self._save()
            self._save()
            context.wait()
        self._say_why(done)
        if self._writer:
            self._writer.close()
        return done

    @property
    def _epoch(self) -> int:
        return math.ceil(self._state.step / self._per_epoch)

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _progress(self) -> float:
        seconds = self._setup.context.max(self._seconds()) if self._schedule.minutes else 0.0
        return progress_of(self._schedule, self._state.step, self._total, seconds)

    def _has_ended(self) -> bool:
        patience = self._schedule.patience
        return self._progress() >= 1 or (patience is not None and self._state.stale >= patience)

    def _is_validation_due(self) -> bool:
        ends_epoch = self._state.step % self._per_epoch == 0
        return ends_epoch and self._epoch % self._schedule.validate_every == 0

    def _is_checkpoint_due(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self._output.checkpoint_minutes

    def _step(self) -> None:
        """Make one update, and add its losses to the sums."""
        setup, state, settings = self._setup, self._state, self._setup.settings
        factor = learning_rate_factor(self._schedule, self._progress(), state.step)
        self._rate = settings.optimizer.learning_rate * factor
        setup.networks.set_learning_rate(self._rate)
        torch.manual_seed(step_seed(settings.compute.seed, "dropout", state.step))
        batch = setup.batches(state.step)
        if state.step == 0 and self._writer:
            self._writer.show_batch(draw_batch(batch, setup.tensors))
        losses = self._update(batch, state.step)
        state.step += 1
        state.loss_steps += 1
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss.float()
        self._display.advance(state.step)

    def _log(self) -> None:
        """Average the losses since the last line into a new one, and show them."""
        state = self._state
        means = {name: total / state.loss_steps for name, total in self._losses().items()}
        now = time.monotonic()
        speed = (state.step - self._line_step) * self._setup.batches.size / (now - self._line_began)
        self._line_began, self._line_step = now, state.step
        if self._writer:
            values = {**means, "learning_rate": self._rate, "images_per_second": speed}
            self._writer.log("train", state.step, self._epoch, values)
        self._display.update(state.step, means, speed)
        self._sums.clear()
        state.loss_steps = 0

    def _losses(self) -> dict[str, float]:
        """Return the sums of the losses; stop once one, a weight or a running statistic is not finite."""
        losses = {name: float(loss) for name, loss in self._sums.items()}
        bad = [name for name, loss in losses.items() if not math.isfinite(loss)]
        if not bad:
            networks = self._setup.networks
            parts = (networks.generator, networks.discriminator, networks.best_generator)
            weights = [weight for network in parts for weight in network.state_dict().values()]
            finite = torch.stack([torch.isfinite(weight).all() for weight in weights]).all()
            bad = [] if bool(finite) else ["a weight"]
        if bad:
            raise TrainingError(
                f"{bad[0]} is not finite any more near step {self._state.step}: the run's files hold the "
                "last good state",
                hint="start again with a lower learning_rate, or with precision fp32",
                setting="learning_rate",
            )
        return losses

    def _save(self) -> None:
        """Write the checkpoint, if the networks are sound."""
        if self._writer is None:
            return
        self._state.loss_sums = self._losses()
        self._saved_at = time.monotonic()
        self._state.seconds = self._seconds()
        save_checkpoint(self._output.run, self._setup.networks, self._state)

    def _validate(self, *, is_last: bool) -> None:
        """Score the generator on the validation pairs, and keep it if it is the best."""
        self._losses()
        if self._writer:
            self._keep(validate(self._setup, self._state.step), self._writer, is_last=is_last)
            self._save()
        context = self._setup.context
        context.wait()
        self._state.stale = int(context.max(self._state.stale if self._writer else 0))  # the others know none
        self._line_began = time.monotonic()

    def _keep(self, found: Validation, writer: RunWriter, *, is_last: bool) -> None:
        """Write the scores and the model files of a validation, and samples of some."""
        state, output, schedule = self._state, self._output, self._schedule
        writer.log("validation", state.step, self._epoch, found.scores)

        header, weights = found.header, found.generator.state_dict()
        save_model(output.run / LAST, weights, header)
        metric = selection_metric(found.scores)
        is_best = state.best is None or metric > state.best
        state.stale += 1
        if is_best:
            state.best, state.best_step, state.stale = metric, state.step, 0
            save_model(output.run / BEST, weights, header)
            if self._setup.palette is not None:
                writer.show_confusion(self._setup.palette.names, found.confusion)
        if output.keep_last:
            save_model(output.run / KEPT / f"step-{state.step:07d}.safetensors", weights, header)
            for old in sorted((output.run / KEPT).glob("step-*.safetensors"))[: -output.keep_last]:
                old.unlink()

        validations = math.ceil(schedule.epochs / schedule.validate_every)
        every = math.ceil(validations / SAMPLES_A_RUN)
        if math.ceil(self._epoch / schedule.validate_every) % every == 0 or is_last:
            writer.show_samples(state.step, found.samples)
        shown = ("mean_iou", "road_f1", "psnr", "l1")
        line = "  ".join(f"{name} {found.scores[name]:.3f}" for name in shown if name in found.scores)
        best = "  (best so far)" if is_best else ""
        self._display.say(f"validation after epoch {self._epoch}:  {line}{best}")

    def _say_why(self, done: bool) -> None:
        """Say why the training is over before its last step."""
        where = f"step {self._state.step} of {self._total}"
        if not done:
            self._display.say(f"stopped at {where}; resume the run to continue")
        elif self._state.step < self._total:
            why = "the score no longer rises"
            if self._progress() >= 1:
                why = f"{self._schedule.minutes:g} minutes are over"
            self._display.say(f"finished at {where}: {why}")
