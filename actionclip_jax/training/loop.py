"""A training run, from configuration to model directory."""

import contextlib
import dataclasses
import json
import logging
import pathlib
import time
from typing import Any

import jax
import numpy as np

from actionclip_jax import config, files, paths, progress, sharding, xla
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data import bad_clips, clip_log
from actionclip_jax.evaluation import scoring
from actionclip_jax.models import action_clip, flops
from actionclip_jax.plots import charts
from actionclip_jax.training import (
    goodput,
    initial,
    loss_spikes,
    one_class,
    optim,
    run_checkpoints,
    run_log,
    setup,
    stop_signal,
    train_step,
    watchdog,
)

logger = logging.getLogger(__name__)


class TrainingError(ValueError):
    """A run that had to stop; the message says where it can go on."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    steps: int
    model: pathlib.Path | None  # the model directory, once the run came to its end
    scores: dict[str, scoring.Scores]  # of the exported weights, by data set
    clock: goodput.Clock  # of this and all starts before
    signal: int | None = None  # what stopped it before its end, if this process was told


def train(
    run: config.TrainConfig,
    *,
    dry_run: bool = False,
    began: float | None = None,
) -> Outcome:
    """Trains, or goes on with what run.workdir holds. Every process of a run makes the same call.

    SIGTERM or Ctrl-C to any of them ends the run after the step in hand, with a checkpoint.

    Args:
        run: the configuration.
        dry_run: compile, do one step on real data, say what it needs, and leave nothing behind.
        began: `time.perf_counter()` when the program started, for the account of where the time went.

    Raises:
        ValueError: settings or data that cannot work, or a workdir that is in use, before anything compiles.
        TrainingError: the loss or the gradient is not finite any more, or nothing can be written any more.
    """
    clock = goodput.Clock(began)
    config.checked_run(run)
    if run.pretrain.epochs:
        workdir = pathlib.Path(run.workdir) / "pretrain"
        if not model_directory.is_model_directory(workdir / "model"):
            logger.info("image-text pre-training:")
            stills = setup.pretraining(run, workdir)
            towers = train(stills, dry_run=dry_run, began=began)
            clock = goodput.Clock()
            if towers.step < towers.steps and not dry_run:
                return towers
            logger.info("video training:")
        run = setup.after_pretraining(run, "" if dry_run else str(workdir / "model"))
    mesh = sharding.make_mesh(fsdp=run.sharding.fsdp, model=run.sharding.model)
    flop_rate = flops.matmul_rate(run.compute.dtype) * mesh.size
    with jax.set_mesh(mesh):
        trainer = Trainer(run, mesh, flop_rate, clock)
        if dry_run:
            return trainer.try_one_step()
        with setup.hold(trainer.workdir):
            return trainer.run_to_the_end()


class Trainer:
    """A run with everything it works with, made before anything compiles."""

    def __init__(
        self,
        run: config.TrainConfig,
        mesh: jax.sharding.Mesh,
        flop_rate: float,
        clock: goodput.Clock,
    ) -> None:
        self.run, self.mesh, self.flop_rate = run, mesh, flop_rate
        self.clock = clock
        paths.check_directory("workdir", run.workdir)
        self.workdir = paths.expand_home(run.workdir).absolute()
        sharding.check_rows(run.data.loader.batch_size // run.optim.accumulate, mesh)
        places = sharding.param_shardings(action_clip.param_shapes(run.model), mesh)
        tables = setup.open_tables(run)
        self.clips = len(tables["train"])
        self.spec = setup.step_spec(run, self.clips, tables["train"].label_share)
        self.batches = setup.train_batches(run, tables["train"], self.workdir)
        start = initial.initial_weights(run.model, run.init_from, run.seed, places)
        self.tokenizer, self.provenance = start.tokenizer, start.provenance
        self.evaluators = setup.evaluators(run, tables, start.tokenizer, mesh, self.workdir)
        self.state = setup.first_state(self.spec, start, places, mesh)
        tokens = setup.token_table(run, start.tokenizer, tables["train"])
        self.text_length = tokens.shape[-1]
        self.texts = setup.place_texts(self.spec, self.state.params, tokens, mesh)
        self.scores: dict[str, scoring.Scores] = {}
        self.spikes = loss_spikes.LossSpikes()
        self.one_class = one_class.OneClassBatches()
        self.done = 0  # steps
        self.progress = progress.Progress("training", self.spec.steps)
        self.saved: int | None = None  # the step of the newest checkpoint

    def compile(self) -> jax.stages.Compiled:
        """The step of this run; says where it runs and what it needs. The first batch is made meanwhile."""
        self.batches.start()
        self.clock.lap("start")
        data = self.run.data
        rows = data.loader.batch_size
        step = train_step.trace_step(self.spec, self.mesh, self.state, self.texts, data.sample, rows).lower().compile()
        axes = " x ".join(f"{name} {size}" for name, size in self.mesh.shape.items())
        memory = xla.describe_memory(step)
        logger.info(f"{self.mesh.size} devices ({axes}) of {jax.process_count()} processes; {memory}")
        self.clock.lap("compile")
        return step

    def try_one_step(self) -> Outcome:
        """What --dry-run does."""
        with contextlib.closing(self.batches):
            step = self.compile()
            batch = self.next_batch()
            self.clock.lap("data_wait")
            _, metrics = step(self.state, batch, self.texts)
            metrics = jax.device_get(metrics)
            self.clock.lap("step")
        logger.info(f"one of {self.spec.steps} steps done, loss {metrics['loss']:.4f}; nothing was written")
        return Outcome(1, self.spec.steps, None, {}, self.clock)

    def run_to_the_end(self) -> Outcome:
        """Trains from where the run stands, evaluates, saves and exports."""
        self.checkpoints = run_checkpoints.RunCheckpoints(self.workdir, self.run.checkpoint, self.mesh)
        model = None
        try:
            with contextlib.ExitStack() as stack:
                self.stop = stack.enter_context(stop_signal.StopSignal())
                self.watchdog = stack.enter_context(watchdog.Watchdog(self.run.hang_seconds))
                stack.callback(self.checkpoints.close)
                stack.callback(self.batches.close)
                self.resume()
                self.log = run_log.RunLog(self.workdir, self.done, writes=jax.process_index() == 0)
                stack.callback(self.log.close)
                try:
                    self.loop(self.compile())
                    model = self.finish()
                except stop_signal.Stopped:
                    self.save()
                    so_far = f"stopped after step {self.done} of {self.spec.steps}"
                    logger.info(f"{so_far}; the same command goes on from there")
        except (OSError, bad_clips.TooManyBadClips) as error:
            raise TrainingError(f"step {self.done}: {error}; {self.checkpoints.where_to_go_on()}") from error
        self.clock.lap("checkpoint")
        self.write_time()
        return Outcome(self.done, self.spec.steps, model, self.scores, self.clock, self.stop.received)

    def resume(self) -> None:
        """Goes to the newest unharmed checkpoint, if there is one."""
        changes: list[str] = []

        def fits(described: dict[str, Any]) -> None:
            changes[:] = run_checkpoints.describe_changes(described["config"], self.run)
            if models := [line for line in changes if line.startswith("model.")]:
                raise ValueError("\n  ".join([f"{self.workdir} holds a run of another model:", *models]))
            self.batches.restore(described["data"])

        found = self.checkpoints.restore_newest(self.state, fits)
        file, last = self.workdir / "time.json", None
        if file.is_file():
            with contextlib.suppress(ValueError):
                last = json.loads(file.read_text(encoding="utf-8"))
        self.clock.go_on(found[2]["time"] if found else None, last)
        if found is None:
            return
        self.done, self.state, _ = found
        self.saved = self.done
        rows = run_log.read_rows(self.workdir / "metrics.jsonl")
        self.checkpoints.scores.update(
            (step, score) for step, score in run_log.headlines(rows).items() if step <= self.done
        )
        logger.info(f"goes on from step {self.done} of {self.workdir}")
        if changes:
            logger.warning("\n  ".join(["with other settings than before:", *changes]))

    def next_batch(self) -> dict[str, jax.Array]:
        """The next batch, spread over the devices."""
        batch = next(self.batches)
        self.one_class.add(batch["label"])
        return sharding.place_batch({name: batch[name] for name in ("video", "label")}, self.mesh)

    def loop(self, step: jax.stages.Compiled) -> None:
        """Steps until the end. Raises Stopped where the run is asked to stop."""
        window: list[dict[str, jax.Array]] = []  # metrics since the last row
        since = time.perf_counter()
        self.evaluate_if_due()  # a run may have ended between saving and scoring
        while self.done < self.spec.steps:
            self.stop.check()
            batch = self.next_batch()
            # a batch that came while the devices were still busy was not waited for
            self.clock.lap("data_wait" if not window or window[-1]["loss"].is_ready() else "step")
            with jax.transfer_guard("disallow"):
                self.state, metrics = step(self.state, batch, self.texts)
            if window:  # at most two steps are under way, so that the host never runs far ahead
                window[-1]["loss"].block_until_ready()
            window.append(metrics)
            self.done += 1
            if self.done % self.run.log_every == 0 or self.done == self.spec.steps:
                rows = jax.device_get(window)
                self.write_rows(rows, time.perf_counter() - since)
                self.check_finite(rows[-1])
                window, since = [], time.perf_counter()
            self.clock.lap("step")
            self.watchdog.step()
            pause = time.perf_counter()
            if self.due(self.run.checkpoint.every_epochs) or self.due(self.run.eval_every_epochs):
                self.save()  # before evaluating, so that a machine that is taken away loses neither
            self.evaluate_if_due()
            since += time.perf_counter() - pause

    def due(self, epochs: float) -> bool:
        """Whether what is done every so many epochs, and at the end, is to be done after this step."""
        every = max(1, round(epochs * self.clips / self.run.data.loader.batch_size))
        return self.done == self.spec.steps or bool(epochs and self.done and self.done % every == 0)

    def evaluate_if_due(self) -> None:
        """Scores the weights where that is to be done and was not yet."""
        if self.evaluators and self.done not in self.checkpoints.scores and self.due(self.run.eval_every_epochs):
            self.evaluate(self.done)

    def write_rows(self, window: list[dict[str, Any]], seconds: float) -> None:
        """Logs the last steps: losses and accuracies are their means, the rest the last values."""
        batch_size, run, done = self.run.data.loader.batch_size, self.run, self.done
        for number, metrics in enumerate(window, done - len(window) + 1):
            if spike := self.spikes.add(number, float(metrics["loss"])):
                logger.warning(spike)
        values = {name: float(value) for name, value in window[-1].items()}
        for name in values:
            if name.startswith(("loss", "top1", "gradient_norm")):
                values[name] = float(np.mean([metrics[name] for metrics in window]))
        for part, multiplier in self.spec.parts().items():
            values[f"learning_rate/{part}"] = values["learning_rate"] * multiplier
        rate = len(window) * batch_size / seconds
        texts = setup.texts_per_clip(run, self.texts.shape[0])
        work = flops.train_clip(run.model, run.objective, run.data.sample.frames, texts, self.text_length)
        values |= {
            "epoch": done * batch_size / self.clips,
            "clips_per_second": rate,
            "model_flop_utilisation": rate * work / self.flop_rate,
            "loss_spikes": self.spikes.count,
            "one_class_batches": self.count_one_class_batches(),
        }
        self.log.write(done, {**values, "seconds": self.clock.summary()})
        self.write_time()
        line = f"loss {values['loss']:.3f}, {rate:.3g} clips/s"
        self.progress.move_to(done, line)

    def count_one_class_batches(self) -> int:
        """How many there were; the first is said."""
        before, count = self.one_class.count, self.one_class.total()
        if count and not before:
            logger.warning(
                f"step {self.done}: all clips of a batch were of one class, and a contrastive loss learns nothing from "
                "them: a larger data.loader.batch_size makes that rare. More of them are counted: one_class_batches"
            )
        return count

    def write_time(self) -> None:
        """Notes where the time went, from which the next start goes on."""
        if not jax.process_index():
            files.write_json(self.workdir / "time.json", self.clock.state())

    def check_finite(self, metrics: dict[str, Any]) -> None:
        """Raises TrainingError after too many steps in a row that had to be skipped."""
        in_row = int(metrics["skipped_in_row"])
        if in_row >= self.run.optim.max_skipped:
            raise TrainingError(
                f"step {self.done}: neither loss nor gradient was finite in the last {in_row} steps; "
                f"{self.checkpoints.where_to_go_on()}. Lower optim.lr, set optim.clip_norm, or look at the data"
            )

    def weights(self, state: train_step.TrainState) -> train_step.Params:
        """What is evaluated and exported: averaged if averages are kept, and moved towards the initial weights."""
        params = state.ema or state.params
        share = 1 - self.run.interpolation.export
        return optim.interpolate(state.initial, params, share) if share else params

    def after_batch(self) -> None:
        """Between two batches of an evaluation."""
        self.watchdog.other()
        self.stop.check()

    def evaluate(self, step: int) -> None:
        """Scores the data sets with the weights, which are those of `step`. Raises Stopped like `loop`."""
        values = {}
        for name, evaluator in self.evaluators.items():
            self.scores[name] = evaluator(self.weights(self.state), f"evaluating {name}", self.after_batch)
            values[name] = self.scores[name].summary()
            numbers = ", ".join(f"{label} {value:.1%}" for label, value in self.scores[name].metrics.items())
            logger.info(f"step {step}, {name}: {numbers} of {self.scores[name].scored} clips")
        if step not in self.checkpoints.scores:
            self.log.write(step, {"evaluation": values, "epoch": step * self.run.data.loader.batch_size / self.clips})
            self.checkpoints.scores[step] = next(iter(self.scores.values())).primary
        self.clock.lap("evaluation")
        self.write_time()

    def save(self) -> None:
        """Starts to write a checkpoint, unless there is one of this step."""
        if self.saved == self.done:
            return
        self.watchdog.other()
        self.clock.lap("step")
        described = {"config": config.to_dict(self.run), "data": self.batches.state(), "time": self.clock.state()}
        self.checkpoints.save(self.done, self.state, described)
        self.saved = self.done
        self.clock.lap("checkpoint")

    def finish(self) -> pathlib.Path:
        """Exports the model and draws the curves."""
        step, best = self.done, self.checkpoints.best
        if self.run.checkpoint.export == "best" and best not in (None, step):
            step, self.scores = best, {}
            self.state = self.checkpoints.restore(best, self.state, self.checkpoints.describe(best))
            logger.info(f"the best weights are those of step {best}")
            self.clock.lap("checkpoint")
        if self.evaluators and not self.scores:
            self.evaluate(step)
        model = self.export()
        self.tell_notes()
        if jax.process_index() == 0:
            curves = self.workdir / "curves.png"
            charts.training_curves(curves, self.log.rows(), self.clock.seconds)
            logger.info(f"wrote {model} and {curves}")
        return model

    def tell_notes(self) -> None:
        """Says of each data set how many of its videos something is wrong with, although they were used."""
        sizes = {"train": self.clips, **{name: len(one.clips) for name, one in self.evaluators.items()}}
        for part, clips in sizes.items():
            if notes := clip_log.read_notes(self.workdir, part):
                where = self.workdir / f"notes_{part}.jsonl"
                logger.warning(f"{part}: {clip_log.describe_notes(notes, clips, str(where))}")

    def export(self) -> pathlib.Path:
        """Writes the model directory, whose weights are gathered on this host one by one."""
        everywhere = sharding.everywhere(self.mesh)
        gather = jax.jit(lambda array: array, out_shardings=everywhere)
        params = {path: np.asarray(gather(array)) for path, array in self.weights(self.state).items()}
        provenance = {
            "source": "training",
            "steps": self.done,
            "initial": self.provenance,
            "config": config.to_dict(self.run),
        }
        model = self.workdir / "model"
        weights = model_directory.Weights(self.run.model, params, self.tokenizer, provenance, {})
        model_directory.save(model, weights, overwrite=True)
        return model
